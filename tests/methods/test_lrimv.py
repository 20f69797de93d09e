"""LRIMV: what is clustered within and across cameras, and what a step learns."""

from functools import partial

import jax
import numpy as np
import pytest

from man_jax.engine.labelling import known_labels, oracle_labels
from man_jax.frame import ByDomain, EpochFeatures, FeatureTable
from man_jax.methods import lrimv as subject
from man_jax.networks.view_interaction import ViewInteraction
from tests.engine.tiny import QUICKLY
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
from tests.oracles import identity, lrimv
from tests.oracles.cases import unit_normal

KEY = jax.random.key(3)
TRUTH = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1], np.int32)
CAMERAS = np.array([0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1], np.int32)
SMALL = {
    "method": "lrimv",
    "batch.identities": 2,
    "lrimv.blocks": 1,
    "lrimv.min_samples": 3,
    "lrimv.k1": 3,
    "lrimv.k2": 1,
    "lrimv.share": 0.5,
    "lrimv.camera_epochs": 2,
}


@pytest.fixture(autouse=True, scope="module")
def double_precision():
    with jax.enable_x64(True):
        yield


def frame_of(**changes):
    own = {f"lrimv.{name}": value for name, value in changes.items()}
    return linear_frame(**{**SMALL, **own})._replace(cameras=ByDomain(CAMERAS, CAMERAS))


def table(noise: float = 0.02) -> FeatureTable:
    """Features of two identities, each a little shifted in the second camera."""
    rng = np.random.default_rng(0)
    modal = unit_normal(rng, M, 2, D)[:, TRUTH] + 0.2 * unit_normal(rng, M, 2, D)[:, CAMERAS]
    modal = modal + noise * rng.normal(size=modal.shape)
    fused = np.concatenate(list(modal), axis=1)
    return FeatureTable(modal, fused / np.linalg.norm(fused, axis=1, keepdims=True), pooled=modal)


def begun(frame, labels):
    state = subject.start(frame, linear_state())
    features = EpochFeatures((table(),), (table(),))
    return subject.begin_epoch(frame, state, features, ByDomain(known_labels(TRUTH), labels))


@pytest.mark.parametrize("clusters", ["kmeans", "dbscan"])
def test_the_first_epochs_have_clusters_of_one_camera_and_the_others_classes_of_several(clusters):
    frame = frame_of(clusters=clusters)
    for epoch, several in ((0, False), (1, False), (2, True)):
        labels = subject.label(frame, linear_state(), (table(),), CAMERAS, epoch)
        found = labels.labels[:, 0]
        truth = [*TRUTH] if several else [*zip(TRUTH.tolist(), CAMERAS.tolist(), strict=True)]
        assert len({*zip(truth, found.tolist(), strict=True)}) == labels.num_clusters == (2 if several else 4)
        assert np.all(labels.weight == 1)
        assert labels.estimated
        assert bool(begun(frame, labels).slots.across) == several
        assert (labels.groups is None) == several
        assert several or labels.groups is CAMERAS


def test_in_each_camera_k_is_no_more_than_its_triples_allow_and_its_seeds_are_its_own(monkeypatch):
    told = []

    def cluster_tables(tables, *, num_clusters, key, **_):
        told.append((num_clusters, jax.random.key_data(key).tolist()))
        return [np.zeros(len(tables[0]), np.int32)]

    monkeypatch.setattr(subject, "cluster_tables", cluster_tables)
    cameras = np.array([0] * 9 + [1] * 2 + [2], np.int32)
    frame = frame_of()
    frame.config.adapt.num_clusters = 2
    subject.label(frame, linear_state(), (table(),), cameras, 0)
    assert [number for number, _ in told] == [2, 1, 1]
    assert len({str(key) for _, key in told}) == 3


def test_dbscan_admits_more_pairs_and_smaller_clusters_as_epochs_go_on(monkeypatch):
    told = []
    monkeypatch.setattr(
        subject,
        "clusters_of_nearest",
        lambda rows, *, share, min_samples, **_: (
            told.append((share, min_samples)),
            np.zeros(len(rows), np.int32),
        )[1],
    )
    frame = frame_of(clusters="dbscan", share=1e-4, camera_epochs=999)
    for epoch in (0, 9, 10, 159, 500):
        subject.label(frame, linear_state(), (table(),), np.zeros(NUM_TRIPLES, np.int32), epoch)
    assert [each for each, _ in told] == pytest.approx([1e-4, 1e-4, 2e-4, 16e-4, 16e-4])
    assert [each for _, each in told] == [3, 3, 2, 2, 2]


def test_an_epoch_with_too_few_classes_across_cameras_stays_within_them():
    frame = frame_of()
    frame.config.batch.identities = 3
    labels = subject.label(frame, linear_state(), (table(),), CAMERAS, 5)
    assert labels.num_clusters == 4
    assert not begun(frame, labels).slots.across


def test_there_is_room_for_one_class_in_so_many_triples_unless_told():
    assert subject.capacity(frame_of().config, NUM_TRIPLES) == 4
    assert subject.capacity(frame_of(capacity=7).config, NUM_TRIPLES) == 7


def test_the_oracle_s_identities_are_compared_across_cameras():
    assert begun(frame_of(), oracle_labels(TRUTH, modalities="RN", epoch=0)).slots.across
    alone = frame_of()._replace(cameras=ByDomain(CAMERAS, TRUTH))
    assert not begun(alone, oracle_labels(TRUTH, modalities="RN", epoch=0)).slots.across


@pytest.mark.parametrize("across", [False, True])
def test_a_step_compares_triplets_and_views_and_makes_them_agree(across):
    settings = {"triplet_weight": 1.7, "view_weight": 0.6}
    frame = frame_of(**settings)
    state = begun(frame, known_labels(TRUTH))
    state = state.replace(slots=subject.Slots(np.asarray(across)))
    source = linear_batch(4, [0, 0, 2, 2])
    target = linear_batch(5, [0, 0, 1, 1, 2, 2, 2], weight=[1, 0.5, 1, 1, 1, 1, 0])
    target = target.replace(camera=np.array([0, 0, 0, 0, 1, 1, 0], np.int32))
    if across:
        target = target.replace(camera=np.array([0, 1, 0, 1, 0, 1, 0], np.int32))
    step = jax.jit(partial(subject.loss, frame), compiler_options=QUICKLY)
    value, change = step(state.params, state, source, target, KEY)

    def normed(batch, key):
        found = passed(state.params["network"], seen(batch.images, key)).pooled
        return found * float(state.params["network"]["scale"])

    keys = jax.random.split(KEY, 2)
    of_source, fused = normed(source, keys[0]), normed(target, keys[1])
    modal = np.stack(np.split(fused, M, axis=1))
    among = (target.label[:, None] == target.label) & (target.weight > 0)[:, None] & (target.weight > 0)
    among = among | np.eye(7, dtype=bool)
    views = ViewInteraction(1).apply({"params": state.params["views"]}, modal, among)
    of_views = np.concatenate(list(np.asarray(views)), axis=1)
    known = (target.label, target.camera, target.weight)
    triplet = lrimv.triplet(fused, *known, across=across)
    expected = {
        "triplet_camera": 0.0 if across else triplet,
        "triplet": triplet if across else 0.0,
        "triplet_views": lrimv.triplet(of_views, *known, across=across),
        "agreement": lrimv.divergence(fused, of_views, target.weight),
        "triplet_source": identity.batch_hard_triplet(of_source, source.label, form="soft"),
    }
    assert triplet > 0
    assert {name: float(term) for name, term in change.terms.items()} == pytest.approx(expected, rel=1e-5)
    factors = {"triplet": 1.7, "triplet_views": 0.6, "agreement": 0.6}
    total = sum(factors.get(name, 1.0) * term for name, term in expected.items())
    assert float(value) == pytest.approx(total, rel=1e-5)
    assert [int(each["passes"]) for each in change.statistics] == [1, 1]


def test_the_transformer_of_views_is_learnt_beside_the_network():
    frame = frame_of()
    state = begun(frame, known_labels(TRUTH))
    target = linear_batch(5, [0, 0, 1, 1])
    loss = jax.grad(lambda params: subject.loss(frame, params, state, None, target, KEY)[0])
    slope = jax.jit(loss, compiler_options=QUICKLY)(state.params)
    assert np.abs(slope["network"]["matrix"]).max() > 0
    assert all(np.abs(slope["views"]["block0"][name]["kernel"]).max() > 0 for name in ("out", "fc2"))
