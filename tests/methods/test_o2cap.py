"""O2CAP: what is clustered and drawn, what the memories hold, what a step learns and moves."""

from functools import partial

import jax
import numpy as np
import pytest

from man_jax.engine.labelling import known_labels
from man_jax.frame import ByDomain, EpochFeatures, FeatureTable, Labels
from man_jax.methods import o2cap as subject
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
from tests.oracles import contrastive, memories, proxies
from tests.oracles.cases import unit_normal

KEY = jax.random.key(3)
CLUSTERS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2], np.int32)
CAMERAS = np.array([0, 1, 2, 0, 1, 1, 0, 2, 2, 2, 1, 1], np.int32)
SMALL = {"method": "o2cap", "o2cap.k1": 4, "o2cap.k2": 2, "adapt.num_clusters": 3}


@pytest.fixture(autouse=True, scope="module")
def double_precision():
    with jax.enable_x64(True):
        yield


def table(seed: int) -> FeatureTable:
    rng = np.random.default_rng(seed)
    modal = unit_normal(rng, M, 3, D)[:, CLUSTERS]
    modal = modal + 0.05 * rng.normal(size=modal.shape)
    fused = np.concatenate(list(modal), axis=1)
    return FeatureTable(modal, fused / np.linalg.norm(fused, axis=1, keepdims=True), pooled=modal)


def frame_of(**changes):
    """A frame with three cameras in the target and one in the source."""
    cameras = ByDomain(np.zeros(NUM_TRIPLES, np.int32), CAMERAS)
    own = {f"o2cap.{name}": value for name, value in changes.items()}
    return linear_frame(**SMALL, **own)._replace(cameras=cameras)


def begun(frame, target: Labels, *, source: bool = True):
    of_source, of_target = table(1), table(2)
    features = EpochFeatures((of_source,) if source else None, (of_target,))
    state = subject.start(frame, linear_state())
    state = subject.begin_epoch(frame, state, features, ByDomain(known_labels(CLUSTERS), target))
    return state, ByDomain(of_source, of_target)


def step(frame, state, source, target):
    """The loss of a step and what it changes, compiled with little effort."""
    compiled = jax.jit(partial(subject.loss, frame), compiler_options=QUICKLY)
    return compiled(state.params, state, source, target, KEY)


@pytest.mark.parametrize("clusters", ["kmeans", "dbscan"])
def test_the_second_column_splits_the_clusters_by_cameras_and_batches_are_drawn_by_it(clusters):
    frame = frame_of(clusters=clusters)
    labels = subject.label(frame, linear_state(), (table(0),), CAMERAS, 0)
    found = labels.labels[:, 0]
    assert len({*zip(CLUSTERS.tolist(), found.tolist(), strict=True)}) == 3
    pairs = [*zip(found.tolist(), CAMERAS.tolist(), strict=True)]
    number = {pair: place for place, pair in enumerate(sorted({*pairs}))}
    np.testing.assert_array_equal(labels.labels[:, 1], [number[pair] for pair in pairs])
    assert (labels.num_clusters, labels.drawn_by) == (3, 1)
    assert labels.estimated == (clusters == "dbscan")
    assert np.all(labels.weight == 1)


def test_batches_are_drawn_by_clusters_if_that_is_wanted():
    labels = subject.label(frame_of(draw="clusters"), linear_state(), (table(0),), CAMERAS, 0)
    assert labels.drawn_by == 0


def test_with_dbscan_triples_in_no_cluster_have_no_label_no_proxy_and_no_weight():
    found = table(0)
    found.fused[-4:] = np.eye(M * D)[:4] * np.array([1, -1, 1, -1])[:, None]  # far from each other
    labels = subject.label(frame_of(clusters="dbscan"), linear_state(), (found,), CAMERAS, 0)
    np.testing.assert_array_equal(labels.labels[8:], -1)
    np.testing.assert_array_equal(labels.weight, labels.labels[:, 0] >= 0)
    assert labels.num_clusters == 2


@pytest.mark.parametrize(("clusters", "room"), [("kmeans", 3), ("dbscan", 3), ("dbscan", 7)])
def test_the_room_for_clusters_is_k_or_what_dbscan_may_find(clusters, room):
    capacity = 0 if room == 3 else room
    frame = frame_of(clusters=clusters, capacity=capacity)
    assert subject.capacity(frame.config, NUM_TRIPLES) == room


@pytest.mark.parametrize("columns", [1, 2])
def test_the_memory_begins_with_a_centre_for_each_cluster_in_each_camera(columns):
    """Also with the true labels of the oracle, which have one column."""
    target = Labels(np.repeat(CLUSTERS[:, None], columns, axis=1), np.ones(NUM_TRIPLES, np.float32), 3)
    state, features = begun(frame_of(), target)
    made = state.slots.proxies
    expected = proxies.proxies_of(features.target.fused, CLUSTERS, CAMERAS)
    count = len(expected)
    assert [*zip(made.cluster[:count].tolist(), made.camera[:count].tolist(), strict=True)] == [*expected]
    np.testing.assert_allclose(made.centres[:count], [*expected.values()], atol=1e-6)
    assert not made.exists[count:].any()
    identities, _ = memories.cluster_centres(features.source.fused, CLUSTERS, SPACE.num_source)
    np.testing.assert_allclose(state.slots.identities, identities, atol=1e-6)
    assert state.slots.learnt.all()


def test_under_the_us_protocol_no_identity_is_learnt():
    state, _ = begun(frame_of(), known_labels(CLUSTERS), source=False)
    assert not state.slots.learnt.any()
    batch = linear_batch(5, [1, 0]).replace(camera=np.array([0, 1], np.int32))
    _, change = step(frame_of(), state, None, batch)
    assert set(change.terms) == {"offline", "online"}
    np.testing.assert_array_equal(change.slots.identities, state.slots.identities)


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.2, "negatives": 2, "positives": 2, "balance": 0.4, "momentum": 0.3},
        {"temperature": 0.1, "negatives": 50, "positives": 9, "balance": 0.0, "momentum": 0.0},
        {"temperature": 0.3, "negatives": 1, "positives": 1, "balance": 1.0, "momentum": 0.9},
    ],
)
def test_a_step_pulls_to_associated_proxies_contrasts_identities_and_then_moves_the_memories(settings):
    frame = frame_of(**settings)
    state, features = begun(frame, known_labels(CLUSTERS))
    source = linear_batch(4, [0, 0, 2, 2])
    target = linear_batch(5, [0, 0, 1, 1, 2, 2], weight=[1, 0.5, 1, 0, 1, 1]).replace(
        camera=np.array([0, 1, 1, 2, 2, 0], np.int32)  # cluster 2 has no triple in camera 0
    )
    value, change = step(frame, state, source, target)
    keys = jax.random.split(KEY, 2)
    of_source = passed(state.params, seen(source.images, keys[0])).unit
    of_target = passed(state.params, seen(target.images, keys[1])).unit
    made = proxies.proxies_of(features.target.fused, CLUSTERS, CAMERAS)
    expected = proxies.losses(of_target, target.label, target.camera, target.weight, made, settings)
    everyone, identities = np.ones(SPACE.num_source, bool), np.asarray(state.slots.identities)
    expected["contrast_source"] = contrastive.info_nce(
        of_source, identities, source.label, everyone, source.weight, settings["temperature"]
    )
    assert {name: float(term) for name, term in change.terms.items()} == pytest.approx(expected, rel=1e-5)
    assert float(value) == pytest.approx(sum(expected.values()), rel=1e-5)

    move = (settings["momentum"], "sequential")
    moved = memories.update_centres(identities, of_source, source.label, everyone, source.weight, *move)
    np.testing.assert_allclose(change.slots.identities, moved, atol=1e-6)
    pairs = [*made]
    rows = [*zip(target.label.tolist(), target.camera.tolist(), strict=True)]
    numbers = [pairs.index(pair) if pair in made else -1 for pair in rows]
    exists = np.ones(len(pairs), bool)
    centres = np.stack([*made.values()])
    moved = memories.update_centres(centres, of_target, numbers, exists, target.weight, *move)
    np.testing.assert_allclose(change.slots.proxies.centres[: len(pairs)], moved, atol=1e-6)
    assert [int(each["passes"]) for each in change.statistics] == [1, 1]


def test_the_gradient_of_a_step_goes_through_the_features_alone():
    """Against central differences of the loops, by the network's matrix."""
    settings = {"temperature": 0.3, "negatives": 2, "positives": 2, "balance": 0.4}
    frame = frame_of(**settings)
    state, features = begun(frame, known_labels(CLUSTERS), source=False)
    target = linear_batch(5, [0, 1, 1, 2]).replace(camera=np.array([0, 1, 2, 2], np.int32))
    made = proxies.proxies_of(features.target.fused, CLUSTERS, CAMERAS)
    view = np.asarray(seen(target.images, jax.random.split(KEY, 2)[1]))

    def by_hand(matrix):
        rows = passed({**state.params, "matrix": matrix}, view).unit
        return sum(proxies.losses(rows, target.label, target.camera, target.weight, made, settings).values())

    def value(matrix):
        return subject.loss(frame, {**state.params, "matrix": matrix}, state, None, target, KEY)[0]

    slope = jax.jit(jax.grad(value), compiler_options=QUICKLY)(state.params["matrix"])
    matrix, small = np.asarray(state.params["matrix"]), 1e-6
    for place in [(0, 0, 0), (1, 5, 2), (0, 11, 1)]:
        other = np.zeros_like(matrix)
        other[place] = small
        difference = (by_hand(matrix + other) - by_hand(matrix - other)) / (2 * small)
        assert float(slope[place]) == pytest.approx(difference, rel=1e-4, abs=1e-7)
