"""3C: what is clustered, what the memory holds, what a step learns and moves."""

from functools import partial

import jax
import numpy as np
import pytest

from man_jax.engine.labelling import known_labels
from man_jax.frame import ByDomain, EpochFeatures, FeatureTable, Labels
from man_jax.methods import three_c as subject
from tests.engine.tiny import QUICKLY
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
from tests.oracles import memories, three_c
from tests.oracles.cases import unit_normal

KEY = jax.random.key(3)
CAMERAS = np.zeros(NUM_TRIPLES, np.int32)
CLUSTERS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2], np.int32)
SMALL = {"method": "three_c", "three_c.k1": 4, "three_c.k2": 2, "adapt.num_clusters": 3}


@pytest.fixture(autouse=True, scope="module")
def double_precision():
    with jax.enable_x64(True):
        yield


def table(seed: int, labels: np.ndarray = CLUSTERS) -> FeatureTable:
    rng = np.random.default_rng(seed)
    modal = unit_normal(rng, M, labels.max() + 1, D)[:, labels]
    modal = modal + 0.05 * rng.normal(size=modal.shape)
    fused = np.concatenate(list(modal), axis=1)
    return FeatureTable(modal, fused / np.linalg.norm(fused, axis=1, keepdims=True), pooled=modal)


def begun(frame, *, source: bool = True):
    of_source, of_target = table(1), table(2)
    features = EpochFeatures((of_source,) if source else None, (of_target,))
    labels = ByDomain(known_labels(CLUSTERS), Labels(CLUSTERS[:, None], np.ones(NUM_TRIPLES, np.float32), 3))
    state = subject.start(frame, linear_state())
    return subject.begin_epoch(frame, state, features, labels), ByDomain(of_source, of_target)


@pytest.mark.parametrize("clusters", ["kmeans", "hdc"])
def test_there_are_at_most_as_many_clusters_as_are_asked_for(clusters):
    frame = linear_frame(**SMALL, **{"three_c.clusters": clusters, "three_c.min_samples": 2})
    assert subject.capacity(frame.config, NUM_TRIPLES) == 3
    labels = subject.label(frame, linear_state(), (table(0),), CAMERAS, 0)
    found = labels.labels[:, 0]
    inside = found >= 0
    assert inside.all() or clusters == "hdc"
    assert len({*zip(CLUSTERS[inside].tolist(), found[inside].tolist(), strict=True)}) == 3
    assert (labels.num_clusters, labels.drawn_by) == (3, 0)
    np.testing.assert_array_equal(labels.weight, inside)


def test_a_cluster_of_too_few_samples_is_left_out():
    sizes = np.repeat(np.arange(3), [5, 4, 3]).astype(np.int32)
    labels = subject.label(linear_frame(**SMALL), linear_state(), (table(0, sizes),), CAMERAS, 0)
    found = labels.labels[:, 0]
    np.testing.assert_array_equal(found >= 0, sizes < 2)
    np.testing.assert_array_equal(labels.weight, sizes < 2)
    assert labels.num_clusters == 2
    assert len({*zip(sizes[:9].tolist(), found[:9].tolist(), strict=True)}) == 2


def test_the_seeds_of_hdc_are_others_in_each_epoch_and_the_same_when_a_run_goes_on(monkeypatch):
    told = []

    def harmonic_clusters(*_, rng, **__):
        told.append(rng.integers(10**9))
        return CLUSTERS

    monkeypatch.setattr(subject, "harmonic_clusters", harmonic_clusters)
    frame = linear_frame(**SMALL, **{"three_c.clusters": "hdc"})
    for epoch in (0, 1, 0):
        subject.label(frame, linear_state(), (table(0),), CAMERAS, epoch)
    assert told[0] == told[2] != told[1]


def test_the_memory_begins_with_the_centres_of_identities_and_clusters():
    state, features = begun(linear_frame(**SMALL))
    source = memories.cluster_centres(features.source.fused, CLUSTERS, SPACE.num_source)[0]
    target = memories.cluster_centres(features.target.fused, CLUSTERS, SPACE.capacity)[0]
    np.testing.assert_allclose(state.slots.centres, np.concatenate([source, target]), atol=1e-6)
    np.testing.assert_array_equal(state.slots.exists, [True] * 6 + [False])


def test_under_the_us_protocol_the_source_is_no_class():
    state, _ = begun(linear_frame(**SMALL), source=False)
    np.testing.assert_array_equal(state.slots.exists, [False] * 3 + [True, True, True, False])


@pytest.mark.parametrize(("temperature", "momentum"), [(0.2, 0.3), (0.5, 0.0)])
def test_a_step_trusts_clusters_of_many_cameras_and_moves_centres_by_informative_rows(temperature, momentum):
    frame = linear_frame(**SMALL, **{"three_c.temperature": temperature, "three_c.momentum": momentum})
    state, _ = begun(frame)
    source = linear_batch(4, [0, 0, 2, 2]).replace(camera=np.array([0, 1, 1, 1], np.int32))
    target = linear_batch(5, [1, 1, 1, 0, 0, 2], weight=[1, 0.5, 1, 1, 0, 1])
    target = target.replace(camera=np.array([0, 1, 1, 2, 0, 1], np.int32))
    step = jax.jit(partial(subject.loss, frame), compiler_options=QUICKLY)
    value, change = step(state.params, state, source, target, KEY)
    centres, exists = np.asarray(state.slots.centres, np.float64), np.asarray(state.slots.exists)
    keys, expected, moved = jax.random.split(KEY, 2), {}, centres
    for name, batch, key, first in (("source", source, keys[0], 0), ("target", target, keys[1], 3)):
        rows, labels = passed(state.params, seen(batch.images, key)).unit, batch.labels[:, 0] + first
        known = (rows, labels, batch.camera, exists, batch.weight)
        expected[f"contrast_{name}"] = three_c.contrast(rows, centres, *known[1:], temperature)
        moved = three_c.update(moved, *known, momentum)
    assert {name: float(term) for name, term in change.terms.items()} == pytest.approx(expected, rel=1e-5)
    assert float(value) == pytest.approx(sum(expected.values()), rel=1e-5)
    np.testing.assert_allclose(change.slots.centres, moved, atol=1e-6)
    assert [int(each["passes"]) for each in change.statistics] == [1, 1]
