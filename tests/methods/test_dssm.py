"""DSSM: which part is learnt from and how much each sample weighs, what a step learns, and how the teacher follows."""

import jax
import numpy as np
import pytest

from man_jax.config import ConfigError
from man_jax.engine.labelling import known_labels
from man_jax.engine.optimizer import make_optimizer
from man_jax.engine.state import begin_phase
from man_jax.frame import ByDomain, EpochFeatures, FeatureTable, Labels
from man_jax.methods import dssm as subject
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
from tests.oracles import identity, memories
from tests.oracles import subdomain as oracle
from tests.oracles.cases import unit_normal

KEY = jax.random.key(3)
OWN = {"method": "dssm", "adapt.num_clusters": 3, "dssm.least_rate": 0.7}
FRAME = linear_frame(**OWN)
OPTIMIZER = make_optimizer("adam", lambda _: 0.1, weight_decay=0.0)
CLUSTERS = np.arange(NUM_TRIPLES, dtype=np.int32) % 3
CAMERAS = np.zeros(NUM_TRIPLES, np.int32)


@pytest.fixture(autouse=True, scope="module")
def double_precision():
    with jax.enable_x64(True):
        yield


def table(seed: int) -> FeatureTable:
    rng = np.random.default_rng(seed)
    modal = unit_normal(rng, M, 3, D)[:, CLUSTERS] + 0.1 * rng.normal(size=(M, NUM_TRIPLES, D))
    modal /= np.linalg.norm(modal, axis=-1, keepdims=True)
    return FeatureTable(modal, np.concatenate(list(modal), axis=1) / np.sqrt(M), modal)


TABLES = (table(1), table(2))
"""Of the teacher, then of the student."""


def test_the_teacher_begins_as_the_pre_trained_network_and_is_tested():
    before = linear_state()
    state = subject.start(FRAME, before)
    tested, clustered = subject.networks(FRAME.config)[0], subject.networks(FRAME.config)[1]
    assert tested.variables(state, "target")["params"] is state.slots.teacher["params"] is before.params
    assert clustered.variables(state, "target")["params"] is state.params


# --- the labels


@pytest.mark.parametrize("clusters", ["kmeans", "dbscan"])
def test_a_part_of_the_target_is_clustered_and_each_sample_weighed(clusters):
    settings = {"dssm.clusters": clusters, "dssm.k1": 4, "dssm.k2": 2, "dssm.min_samples": 2, "dssm.eps": 0.9}
    frame = linear_frame(**OWN, **settings)
    parts = []
    for epoch in range(3):
        found = subject.label(frame, linear_state(), TABLES, CAMERAS, epoch)
        labels = found.labels[:, 0]
        inside = labels >= 0
        parts.append(inside)
        assert 0.7 * NUM_TRIPLES - 1 <= inside.sum() <= 0.9 * NUM_TRIPLES
        assert len({*zip(labels[inside].tolist(), CLUSTERS[inside].tolist(), strict=True)}) == 3
        expected = oracle.similarity_weights(TABLES[0].fused[inside], labels[inside], 0.3)
        np.testing.assert_allclose(found.weight[inside], expected, rtol=1e-6)
        assert not found.weight[~inside].any()
    assert np.any(parts[0] != parts[1]) or np.any(parts[1] != parts[2])


def test_equal_weights_are_one_where_there_is_a_cluster():
    frame = linear_frame(**OWN, **{"dssm.weights": "equal"})
    found = subject.label(frame, linear_state(), TABLES, CAMERAS, 0)
    np.testing.assert_array_equal(found.weight, found.labels[:, 0] >= 0)


def test_a_part_with_fewer_samples_than_clusters_and_limits_without_a_rate_are_refused():
    frame = linear_frame(**OWN | {"dssm.least_rate": 0.3, "adapt.num_clusters": 100})
    with pytest.raises(ConfigError, match=r"num_clusters is 100, but an epoch may draw only 90 of .* 300"):
        subject.capacity(frame.config, 300)
    assert subject.capacity(frame.config, 400) == 100
    frame = linear_frame(**OWN | {"dssm.least_rate": 0.9})
    with pytest.raises(ConfigError, match=r"least_rate is 0.9 and largest_rate is 0.9; no rate"):
        subject.capacity(frame.config, 300)


def test_with_dbscan_there_is_room_for_the_clusters_of_the_largest_part():
    frame = linear_frame(**OWN, **{"dssm.clusters": "dbscan"})
    assert subject.capacity(frame.config, 1000) == 900 // 4
    frame.config.dssm.capacity = 7
    assert subject.capacity(frame.config, 1000) == 7


# --- an epoch's beginning


@pytest.mark.parametrize("continued", [False, True])
def test_the_student_s_columns_are_the_centres_of_its_own_features(continued):
    state = begin_phase(subject.start(FRAME, linear_state()), OPTIMIZER)
    drawn = np.where(np.arange(NUM_TRIPLES) < 9, CLUSTERS, -1).astype(np.int32)
    labels = Labels(drawn[:, None], 2.0 * (drawn >= 0).astype(np.float32), 3, continued)
    after = subject.begin_epoch(
        FRAME, state, EpochFeatures(None, TABLES), ByDomain(known_labels(CLUSTERS), labels)
    )
    old, new = (np.asarray(each.params["heads"]["fused"]["kernel"]) for each in (state, after))
    centres, _ = memories.cluster_centres(TABLES[1].fused, drawn, 3)
    np.testing.assert_array_equal(new[:, :3], old[:, :3])
    np.testing.assert_allclose(new[:, 3:6], old[:, 3:6] if continued else centres.T, atol=1e-6)
    assert after.slots.teacher["params"] is state.slots.teacher["params"]
    np.testing.assert_array_equal(after.slots.exists, [True] * 6 + [False])


# --- the step


@pytest.mark.parametrize("protocol", ["uda", "us"])
def test_each_domain_is_learnt_among_its_own_classes_by_the_samples_weights(protocol):
    frame = linear_frame(**OWN, **{"dssm.margin": 0.6})
    state = subject.start(frame, linear_state())
    state = state.replace(slots=state.slots._replace(exists=SPACE.exists(3)))
    source = linear_batch(4, [0, 0, 2, 2]) if protocol == "uda" else None
    target = linear_batch(5, [1, 1, 0, 0], weight=[0.5, 2, 1, 0])
    value, change = subject.loss(frame, state.params, state, source, target, KEY)
    keys, expected = jax.random.split(KEY, 2), {}
    for name, batch, key, classes in (
        ("source", source, keys[0], range(3)),
        ("target", target, keys[1], range(3, 6)),
    ):
        if batch is None:
            continue
        found = passed(state.params, seen(batch.images, key))
        labels = batch.labels[:, 0] + classes[0]
        values = oracle.cross_entropy(found.logits, labels, classes)
        expected[f"identity_{name}"] = oracle.reweighted_mean(values, batch.weight)
        expected[f"triplet_{name}"] = oracle.reweighted_triplet(found.pooled, labels, batch.weight, 0.6)
    assert {term: float(each) for term, each in change.terms.items()} == pytest.approx(expected)
    assert float(value) == pytest.approx(sum(expected.values()))
    assert [int(each["passes"]) for each in change.statistics] == [int(source is not None), 1]


def test_labels_are_smoothed_if_told():
    frame = linear_frame(**OWN, **{"dssm.smoothing": 0.2})
    state = subject.start(frame, linear_state())
    target = linear_batch(5, [1, 1, 0, 0])
    _, change = subject.loss(frame, state.params, state, None, target, KEY)
    logits = passed(state.params, seen(target.images, jax.random.split(KEY, 2)[1])).logits
    values = identity.smoothed_cross_entropy(
        logits, target.labels[:, 0] + 3, smoothing=0.2, exists=np.arange(7) >= 3
    )
    assert float(change.terms["identity_target"]) == pytest.approx(float(np.mean(values)))


@pytest.mark.parametrize("updates", [0, 3, 5000])
def test_the_teacher_s_parameters_and_statistics_follow_the_student(updates):
    state = subject.start(FRAME, linear_state())
    other = linear_state(1)
    state = state.replace(
        params=other.params,
        statistics=ByDomain({"passes": np.int32(4)}, {"mean": np.float64(2.0)}),
        slots=state.slots._replace(
            updates=np.int32(updates),
            teacher={
                **state.slots.teacher,
                "statistics": ByDomain({"passes": np.int32(1)}, {"mean": np.float64(1.0)}),
            },
        ),
    )
    after = subject.after_update(FRAME, state)
    old, new = (np.asarray(each["matrix"]) for each in (state.slots.teacher["params"], other.params))
    found = after.slots.teacher
    np.testing.assert_allclose(found["params"]["matrix"], memories.moving_average(old, new, updates, 0.999))
    expected = memories.moving_average(np.array(1.0), np.array(2.0), updates, 0.999)
    assert float(found["statistics"].target["mean"]) == pytest.approx(float(expected))
    assert int(after.slots.updates) == updates + 1
