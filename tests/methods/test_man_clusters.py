"""MAN with clusterings other than K-means, whose numbers of clusters may be found in the features."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from man_jax.clustering.consensus import consensus_distances
from man_jax.clustering.dbscan import dbscan
from man_jax.clustering.jaccard import jaccard_distances
from man_jax.clustering.linkage import average_linkage, cut_into
from man_jax.engine.labelling import check_labels, label_report
from man_jax.engine.optimizer import make_optimizer
from man_jax.frame import ByDomain, FeatureTable, Labels
from man_jax.methods import man
from tests.engine.tiny import NUM_SOURCE, NUM_TARGET, SPACE, D, M, new_frame, new_state
from tests.engine.tiny import NUM_TRIPLES as N

CAMERAS = np.zeros(N, np.int32)
GROUPS = 4
PIDS = np.arange(N) % GROUPS
OWN = {"man.k1": 5, "man.k2": 2, "man.min_samples": 3, "man.eps": 0.4}
FOUND = [
    {"man.clusters": "linkage", "man.count": "estimated"},
    {"man.clusters": "linkage", "man.count": "cut"},
    {"man.clusters": "dbscan"},
    {"man.clusters": "dbscan", "man.neighbours": "consensus"},
]
GIVEN = [{}, {"man.clusters": "linkage"}, {"man.clusters": "linkage", "man.neighbours": "consensus"}]


NOTHING_BEFORE: Any = SimpleNamespace(slots=SimpleNamespace(last=None))
"""What `label` reads of a state: no epoch asks for the labels of the last one."""


def named(changes) -> str:
    return " ".join(changes.values()) or "kmeans"


def grouped_table() -> FeatureTable:
    rng = np.random.default_rng(0)
    noise = np.array([0.3, 0.4, 0.5])[:, None, None] * rng.normal(size=(M, N, D))
    modal = rng.normal(size=(M, GROUPS, D))[:, PIDS] + noise
    modal = (modal / np.linalg.norm(modal, axis=2, keepdims=True)).astype(np.float32)
    return FeatureTable(modal, np.concatenate(list(modal), axis=1) / np.float32(M**0.5), modal)


TABLE = grouped_table()


def labelled(**changes) -> Labels:
    return man.label(
        new_frame(**OWN | changes), state=NOTHING_BEFORE, features=(TABLE,), cameras=CAMERAS, epoch=0
    )


@pytest.fixture(scope="module")
def state():
    return new_state(make_optimizer("adam", lambda _: 0.1, weight_decay=0.0))


@pytest.mark.parametrize("changes", GIVEN, ids=named)
def test_k_that_is_given_is_the_room_and_all_of_it_exists(state, changes):
    frame = new_frame(**OWN | changes)
    assert man.capacity(frame.config, 1000) == NUM_TARGET
    assert man.start(frame, state).slots.exists is None
    labels = labelled(**changes)
    assert (labels.num_clusters, labels.estimated) == (NUM_TARGET, False)


@pytest.mark.parametrize("changes", FOUND, ids=named)
def test_where_k_is_found_there_is_room_for_small_clusters_and_none_exists_yet(state, changes):
    frame = new_frame(**OWN | changes)
    assert man.capacity(frame.config, 1000) == 1000 // 3
    assert man.capacity(frame.config, 2) == 1
    assert man.capacity(new_frame(**OWN | changes | {"man.capacity": 7}).config, 1000) == 7
    np.testing.assert_array_equal(man.start(frame, state).slots.exists, SPACE.exists(0))


@pytest.mark.parametrize("changes", FOUND, ids=named)
def test_the_number_that_is_found_is_told_and_reported_beside_the_true_one(changes):
    labels = labelled(**changes)
    assert labels.estimated
    check_labels(labels, capacity=SPACE.capacity, num_triples=N, method="man")
    report = label_report(labels, PIDS)
    assert report["labels/clusters"] == labels.num_clusters == labels.labels.max() + 1
    assert report["labels/identities"] == GROUPS
    assert 2 <= labels.num_clusters <= NUM_TARGET


def test_labels_of_linkage_are_cut_from_the_tree_of_the_fusion():
    distances = jaccard_distances(TABLE.fused, k1=5, k2=2)
    np.testing.assert_array_equal(
        labelled(**{"man.clusters": "linkage"}).clusterings["F"],
        cut_into(average_linkage(distances), NUM_TARGET),
    )


def test_labels_of_a_consensus_are_cut_from_the_tree_on_which_the_modalities_voted():
    changes = {"man.clusters": "linkage", "man.neighbours": "consensus", "man.vote": 0.5}
    distances = consensus_distances(list(TABLE.modal), TABLE.fused, k1=5, k2=2, vote=0.5)
    np.testing.assert_array_equal(
        labelled(**changes).clusterings["F"], cut_into(average_linkage(distances), NUM_TARGET)
    )


def test_samples_outside_all_clusters_of_dbscan_have_no_label_and_no_weight():
    labels = labelled(**{"man.clusters": "dbscan", "man.eps": 0.25})
    fused = dbscan(jaccard_distances(TABLE.fused, k1=5, k2=2), eps=0.25, min_samples=3)
    np.testing.assert_array_equal(labels.labels[:, 0], fused)
    assert 0 < np.mean(fused < 0) < 1
    assert not (labels.weight[fused < 0] > 0).any()


def test_without_cpa_every_sample_in_a_cluster_of_the_fusion_is_reliable():
    labels = labelled(**{"man.clusters": "dbscan", "man.eps": 0.25, "man.labels": "fusion"})
    np.testing.assert_array_equal(labels.weight > 0, labels.labels[:, 0] >= 0)
    assert (labels.labels < 0).any()


@pytest.mark.parametrize("clusters", ["linkage", "dbscan"])
def test_without_cpa_modalities_are_not_clustered_by_their_neighbours(clusters):
    of_cpa, plain = (labelled(**{"man.clusters": clusters, "man.labels": kind}) for kind in ("cpa", "fusion"))
    assert list(of_cpa.clusterings) == ["R", "N", "T", "F"]
    assert list(plain.clusterings) == ["F"]
    np.testing.assert_array_equal(plain.clusterings["F"], of_cpa.clusterings["F"])
    np.testing.assert_array_equal(plain.labels[:, 0], of_cpa.clusterings["F"])


def test_the_largest_clusters_are_kept_where_there_are_more_than_room(caplog):
    frame = new_frame(**OWN | {"man.clusters": "dbscan", "man.labels": "fusion"})
    whole = man.label(frame, NOTHING_BEFORE, (TABLE,), CAMERAS, 0)
    small = frame._replace(space=SPACE._replace(capacity=2))
    labels = man.label(small, NOTHING_BEFORE, (TABLE,), CAMERAS, 0)
    assert whole.num_clusters > labels.num_clusters == 2
    assert "there is room for 2" in caplog.text


def test_an_epoch_without_a_single_cluster_has_no_label():
    labels = labelled(**{"man.clusters": "dbscan", "man.eps": 0.0, "man.min_samples": N})
    assert labels.num_clusters == 0
    assert (labels.labels == -1).all()
    assert not labels.weight.any()


def test_an_epoch_begins_with_the_clusters_that_were_found_and_the_samples_in_them(state):
    changes = {"man.clusters": "dbscan", "man.eps": 0.25, "man.labels": "fusion"}
    labels = labelled(**changes)
    source = Labels((np.arange(N) % NUM_SOURCE).astype(np.int32)[:, None], np.ones(N, np.float32), NUM_SOURCE)
    after = man.begin_epoch(
        new_frame(**OWN | changes), state, ByDomain((TABLE,), (TABLE,)), ByDomain(source, labels)
    )
    exists = np.arange(NUM_TARGET) < labels.num_clusters
    np.testing.assert_array_equal(after.slots.banks.target.valid, exists)
    np.testing.assert_array_equal(after.slots.exists[NUM_SOURCE:], exists)
    assert not exists.all()
