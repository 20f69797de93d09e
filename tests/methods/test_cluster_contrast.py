"""Cluster contrast: what is clustered, what the memory holds, what a step learns and moves."""

import jax
import numpy as np
import pytest

from man_jax.engine.labelling import known_labels
from man_jax.frame import ByDomain, EpochFeatures, FeatureTable, Labels
from man_jax.methods import cluster_contrast as subject
from tests.methods.linear_model import (
    NUM_TRIPLES,
    SPACE,
    D,
    M,
    linear_batch,
    linear_frame,
    linear_state,
    passed,
    seen,
)
from tests.oracles import contrastive, memories
from tests.oracles.cases import unit_normal

KEY = jax.random.key(3)
CAMERAS = np.zeros(NUM_TRIPLES, np.int32)
CLUSTERS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2], np.int32)
SMALL = {"method": "cluster_contrast", "cluster_contrast.k1": 4, "cluster_contrast.k2": 2}


@pytest.fixture(autouse=True, scope="module")
def double_precision():
    with jax.enable_x64(True):
        yield


def table(seed: int, labels: np.ndarray, noise: float = 0.05) -> FeatureTable:
    rng = np.random.default_rng(seed)
    modal = unit_normal(rng, M, labels.max() + 1, D)[:, labels]
    modal = modal + noise * rng.normal(size=modal.shape)
    fused = np.concatenate(list(modal), axis=1)
    return FeatureTable(modal, fused / np.linalg.norm(fused, axis=1, keepdims=True), pooled=modal)


def begun(frame, *, target: np.ndarray, source: bool = True):
    features = EpochFeatures(
        (table(1, CLUSTERS),) if source else None,
        (table(2, CLUSTERS),),
    )
    labels = Labels(target[:, None], (target >= 0).astype(np.float32), int(target.max()) + 1)
    state = subject.start(frame, linear_state())
    return subject.begin_epoch(frame, state, features, ByDomain(known_labels(CLUSTERS), labels)), features


def test_triples_in_no_cluster_have_no_label_and_no_weight():
    found = table(0, CLUSTERS)
    found.fused[-4:] = np.eye(M * D)[:4] * np.array([1, -1, 1, -1])[:, None]  # far from each other
    labels = subject.label(linear_frame(**SMALL), linear_state(), (found,), CAMERAS, 0)
    np.testing.assert_array_equal(labels.labels[:8, 0], CLUSTERS[:8])
    np.testing.assert_array_equal(labels.labels[8:, 0], -1)
    np.testing.assert_array_equal(labels.weight, labels.labels[:, 0] >= 0)
    assert labels.num_clusters == 2


def test_with_kmeans_there_are_as_many_clusters_as_are_asked_for():
    frame = linear_frame(**SMALL, **{"cluster_contrast.clusters": "kmeans", "adapt.num_clusters": 3})
    labels = subject.label(frame, linear_state(), (table(0, CLUSTERS),), CAMERAS, 0)
    assert labels.num_clusters == 3
    assert subject.capacity(frame.config, NUM_TRIPLES) == 3
    assert np.all(labels.weight == 1)


def test_more_clusters_than_there_is_room_for_leave_out_the_smallest():
    sizes = np.repeat(np.arange(6), [2, 2, 2, 2, 2, 2]).astype(np.int32)
    frame = linear_frame(**SMALL, **{"cluster_contrast.min_samples": 2})
    frame = frame._replace(space=SPACE._replace(capacity=4))
    found = table(0, sizes, noise=0.0)
    frame.config.cluster_contrast.update(k1=2, k2=1)
    labels = subject.label(frame, linear_state(), (found,), CAMERAS, 0)
    assert labels.num_clusters == 4
    assert set(labels.labels[:, 0]) == {-1, 0, 1, 2, 3}


def test_the_memory_begins_with_the_centres_of_identities_and_clusters():
    target = np.where(CLUSTERS == 2, -1, CLUSTERS).astype(np.int32)
    state, features = begun(linear_frame(**SMALL), target=target)
    source_rows = memories.cluster_centres(features.source[0].fused, CLUSTERS, SPACE.num_source)[0]
    target_rows = memories.cluster_centres(features.target[0].fused, target, SPACE.capacity)[0]
    np.testing.assert_allclose(state.slots.centres, np.concatenate([source_rows, target_rows]), atol=1e-6)
    np.testing.assert_array_equal(state.slots.exists, [True] * 3 + [True, True, False, False])


def test_under_the_us_protocol_the_source_is_no_class():
    state, _ = begun(linear_frame(**SMALL), target=CLUSTERS, source=False)
    np.testing.assert_array_equal(state.slots.exists, [False] * 3 + [True, True, True, False])


@pytest.mark.parametrize("form", ["sequential", "hard"])
def test_a_step_contrasts_each_domain_with_the_memory_and_then_moves_the_centres(form):
    changes = {"cluster_contrast.moving_form": form, "cluster_contrast.momentum": 0.3}
    frame = linear_frame(**SMALL, **changes, **{"cluster_contrast.temperature": 0.2})
    state, _ = begun(frame, target=CLUSTERS)
    source = linear_batch(4, [0, 0, 2, 2])
    target = linear_batch(5, [1, 1, 0, 2], weight=[1, 0.5, 1, 0])
    value, change = subject.loss(frame, state.params, state, source, target, KEY)
    keys = jax.random.split(KEY, 2)
    centres, exists = np.asarray(state.slots.centres), np.asarray(state.slots.exists)
    expected, moved = {}, centres
    for name, batch, key, first in (("source", source, keys[0], 0), ("target", target, keys[1], 3)):
        features = passed(state.params, seen(batch.images, key)).unit
        labels = batch.labels[:, 0] + first
        expected[f"contrast_{name}"] = contrastive.info_nce(
            features, centres, labels, exists, batch.weight, 0.2
        )
        moved = memories.update_centres(moved, features, labels, exists, batch.weight, 0.3, form)
    assert {name: float(term) for name, term in change.terms.items()} == pytest.approx(expected)
    assert float(value) == pytest.approx(sum(expected.values()))
    np.testing.assert_allclose(change.slots.centres, moved, atol=1e-7)
    assert [int(each["passes"]) for each in change.statistics] == [1, 1]
