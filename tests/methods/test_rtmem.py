"""RTMem: what is clustered, what both memories hold, what a step learns and which places it fills."""

import jax
import numpy as np
import pytest

from man_jax.engine.labelling import known_labels
from man_jax.frame import ByDomain, EpochFeatures, FeatureTable, Labels
from man_jax.methods import rtmem as subject
from tests.methods.linear_model import (
    NUM_TRIPLES,
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
OWN = {"method": "rtmem", "adapt.num_clusters": 3}


@pytest.fixture(autouse=True, scope="module")
def double_precision():
    with jax.enable_x64(True):
        yield


def table(seed: int) -> FeatureTable:
    rng = np.random.default_rng(seed)
    modal = unit_normal(rng, M, 3, D)[:, CLUSTERS] + 0.1 * rng.normal(size=(M, NUM_TRIPLES, D))
    fused = np.concatenate(list(modal), axis=1)
    return FeatureTable(modal, fused / np.linalg.norm(fused, axis=1, keepdims=True), pooled=modal)


def begun(frame, *, target=CLUSTERS, source: bool = True, state=None, seed: int = 2):
    """The state of an epoch that has begun, and its features."""
    features = EpochFeatures((table(1),) if source else None, (table(seed),))
    labels = Labels(target[:, None], (target >= 0).astype(np.float32), 3)
    state = subject.start(frame, linear_state()) if state is None else state
    return subject.begin_epoch(frame, state, features, ByDomain(known_labels(CLUSTERS), labels)), features


def test_with_kmeans_there_are_as_many_clusters_as_are_asked_for():
    frame = linear_frame(**OWN)
    labels = subject.label(frame, linear_state(), (table(0),), CAMERAS, 0)
    assert len({*zip(labels.labels[:, 0].tolist(), CLUSTERS.tolist(), strict=True)}) == 3
    assert subject.capacity(frame.config, NUM_TRIPLES) == labels.num_clusters == 3
    assert np.all(labels.weight == 1)


def test_with_dbscan_triples_in_no_cluster_have_no_label_and_no_weight():
    frame = linear_frame(**OWN, **{"rtmem.clusters": "dbscan", "rtmem.k1": 4, "rtmem.k2": 2})
    found = table(0)
    found.fused[-4:] = np.eye(M * D)[:4] * np.array([1, -1, 1, -1])[:, None]  # far from each other
    labels = subject.label(frame, linear_state(), (found,), CAMERAS, 0)
    np.testing.assert_array_equal(labels.labels[:8, 0], CLUSTERS[:8])
    np.testing.assert_array_equal(labels.labels[8:, 0], -1)
    np.testing.assert_array_equal(labels.weight, labels.labels[:, 0] >= 0)
    assert subject.capacity(frame.config, 100) == 25


def test_a_class_begins_with_a_sample_of_its_own_drawn_anew_in_each_epoch():
    target = np.where(CLUSTERS == 2, -1, CLUSTERS).astype(np.int32)
    frame = linear_frame(**OWN)
    chosen = []
    for step in (0, 10, 20, 30):
        start = subject.start(frame, linear_state()).replace(step=np.int32(step))
        state, features = begun(frame, target=target, state=start)
        for domain, labels, first in (("source", CLUSTERS, 0), ("target", target, 3)):
            rows = getattr(features, domain)[0].fused
            for label in set(labels[labels >= 0].tolist()):
                own = np.asarray(state.slots.classes[first + label])
                [place] = np.flatnonzero(np.all(np.isclose(rows, own, atol=1e-12), axis=1))
                assert labels[place] == label
                chosen.append((domain, label, place))
        np.testing.assert_array_equal(state.slots.exists, [True] * 3 + [True, True, False, False])
    assert len(set(chosen)) > 5


def test_the_memory_of_samples_is_filled_once_and_its_clusters_are_those_of_the_epoch():
    frame = linear_frame(**OWN)
    first, features = begun(frame)
    np.testing.assert_allclose(first.slots.instances, features.target[0].fused, atol=1e-6)
    target = np.roll(CLUSTERS, 1)
    target[0] = -1
    second, _ = begun(frame, target=target, state=first, seed=9)
    np.testing.assert_array_equal(second.slots.instances, first.slots.instances)
    np.testing.assert_array_equal(second.slots.clusters, target)


def test_under_the_us_protocol_the_source_is_no_class():
    state, _ = begun(linear_frame(**OWN), source=False)
    np.testing.assert_array_equal(state.slots.exists, [False] * 3 + [True, True, True, False])


@pytest.mark.parametrize(("protocol", "momentum"), [("uda", 0.0), ("us", 0.0), ("uda", 0.3)])
def test_a_step_compares_with_both_memories_and_then_fills_the_places_of_what_it_saw(protocol, momentum):
    frame = linear_frame(**OWN, **{"rtmem.momentum": momentum, "rtmem.temperature": 0.2})
    labels = CLUSTERS.copy()
    labels[-1] = -1
    state, _ = begun(frame, target=labels, source=protocol == "uda")
    source = linear_batch(4, [0, 0, 2, 2]) if protocol == "uda" else None
    target = linear_batch(5, [1, 1, 0, 2], weight=[1, 0.5, 1, 0])
    target = target.replace(index=np.array([5, 6, 1, 9], np.int32))
    value, change = subject.loss(frame, state.params, state, source, target, KEY)
    keys = jax.random.split(KEY, 2)
    classes, exists, instances, clusters = (np.asarray(each) for each in state.slots[:4])
    expected, moved = {}, classes
    for name, batch, key, first in (("source", source, keys[0], 0), ("target", target, keys[1], 3)):
        if batch is None:
            continue
        rows, of_batch = passed(state.params, seen(batch.images, key)).unit, batch.labels[:, 0] + first
        expected[f"contrast_{name}"] = contrastive.info_nce(
            rows, classes, of_batch, exists, batch.weight, 0.2
        )
        moved = memories.update_centres(moved, rows, of_batch, exists, batch.weight, momentum, "sequential")
    expected["instance_target"] = contrastive.instance_nce(
        rows, instances, clusters, target.labels[:, 0], target.weight, 0.2
    )
    seen_now = memories.update_centres(
        instances, rows, target.index, np.ones(NUM_TRIPLES, bool), target.weight, momentum, "sequential"
    )
    assert {name: float(term) for name, term in change.terms.items()} == pytest.approx(expected)
    factors = {"instance_target": 1.2}
    total = sum(factors.get(name, 1.0) * term for name, term in expected.items())
    assert float(value) == pytest.approx(total)
    np.testing.assert_allclose(change.slots.classes, moved, atol=1e-7)
    np.testing.assert_allclose(change.slots.instances, seen_now, atol=1e-7)
    if momentum == 0:
        np.testing.assert_allclose(change.slots.classes[4], rows[1], atol=1e-7)
        np.testing.assert_allclose(np.asarray(change.slots.instances)[[5, 6, 1]], rows[:3], atol=1e-7)
        np.testing.assert_array_equal(change.slots.instances[9], instances[9])


def test_an_image_that_is_twice_in_a_batch_leaves_its_later_view():
    frame = linear_frame(**OWN)
    state, _ = begun(frame)
    target = linear_batch(5, [1, 1, 0, 0]).replace(index=np.array([5, 5, 1, 2], np.int32))
    _, change = subject.loss(frame, state.params, state, None, target, KEY)
    rows = passed(state.params, seen(target.images, jax.random.split(KEY, 2)[1])).unit
    np.testing.assert_allclose(change.slots.instances[5], rows[1], atol=1e-7)
