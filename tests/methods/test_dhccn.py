"""DHCCN: which features are joined, what is calibrated and clustered, and what a step learns and moves."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from man_jax.clustering.calibration import calibrate
from man_jax.engine.labelling import known_labels
from man_jax.engine.optimizer import make_optimizer
from man_jax.engine.state import begin_phase
from man_jax.frame import ByDomain, EpochFeatures, Labels
from man_jax.methods import dhccn as subject
from tests.methods.linear_model import NUM_TRIPLES, SPACE, linear_batch, seen
from tests.methods.part_model import normed_rows, part_frame, part_state, part_table, passed_parts
from tests.oracles import contrastive, divergence, identity, memories, mixture, soft

KEY = jax.random.key(3)
SETTINGS = {"method": "dhccn", "adapt.num_clusters": 3, "dhccn.balance": 0.3, "dhccn.momentum": 0.4}
FRAME = part_frame(**SETTINGS)
OPTIMIZER = make_optimizer("adam", lambda _: 0.1, weight_decay=0.0)
CLUSTERS = np.arange(NUM_TRIPLES, dtype=np.int32) % 3
CAMERAS = np.zeros(NUM_TRIPLES, np.int32)


@pytest.fixture(autouse=True, scope="module")
def double_precision():
    with jax.enable_x64(True):
        yield


def new_state(*, epoch: int = 0):
    """A state whose mixtures and heads are no plain ones; after an epoch with the last triple in no cluster."""
    state, rng = subject.start(FRAME, part_state()), np.random.default_rng(7)
    mixtures = {"parts": jnp.array([0.5, -0.4]), "whole": jnp.array([0.2, 0.9])}
    kernel = jnp.asarray(rng.normal(size=state.params["heads"]["own"]["kernel"].shape))
    params = state.params | {"mixtures": mixtures, "heads": {"own": {"kernel": kernel}}}
    slots = state.slots._replace(exists=SPACE.exists(3), epoch=jnp.int32(epoch))
    if epoch:
        labels = np.where(np.arange(NUM_TRIPLES) == NUM_TRIPLES - 1, -1, CLUSTERS)
        slots = slots._replace(labels=jnp.asarray(labels, jnp.int32))
    return state.replace(params=params, slots=slots)


def joined(params, spaces: list[np.ndarray]) -> list[np.ndarray]:
    """The joint feature, the whole, the joined parts and the parts, in NumPy."""
    of_parts, of_both = (soft.softmax(list(map(float, params["mixtures"][n]))) for n in ("parts", "whole"))
    parts = of_parts[0] * spaces[1] + of_parts[1] * spaces[2]
    return [of_both[0] * spaces[0] + of_both[1] * parts, spaces[0], parts, *spaces[1:]]


def rows_of(state, table, domain: str) -> np.ndarray:
    running = getattr(state.statistics, domain)["necks"]
    parts = [normed_rows(rows, state.params["necks"], p, running).unit for p, rows in enumerate(table.parts)]
    return np.stack(joined(state.params, [table.fused, *parts])[:3])


def calibrated(state, table) -> tuple[np.ndarray, np.ndarray]:
    """The calibrated features and the probabilities of being clean, from the oracles."""
    rows, labels = rows_of(state, table, "target"), np.asarray(state.slots.labels)
    known = labels >= 0
    logits = rows[0] @ np.asarray(state.params["heads"]["own"]["kernel"][0])
    exists = np.asarray(state.slots.exists)
    losses = identity.smoothed_cross_entropy(logits[known], labels[known] + 3, smoothing=0.0, exists=exists)
    clean = np.full(len(labels), 0.1)
    clean[known] = mixture.lower_of_two_gaussians((losses - losses.min()) / np.ptp(losses))
    rng = np.random.default_rng(
        [FRAME.config.seed, int(state.slots.epoch), subject.zlib.crc32(b"calibration")]
    )
    return calibrate(rows, labels, clean, threshold=0.1, covariance="class", rng=rng), clean


def mixed_table():
    """Features of which some are far from their cluster, so that some are noisy."""
    return part_table(2, CLUSTERS, num_parts=2, noise=0.6)


# --- labels


def test_the_calibrated_joint_features_are_clustered(monkeypatch):
    given: list = []
    monkeypatch.setattr(
        subject, "cluster_rows", lambda _frame, _own, rows, _epoch: (given.append(rows), CLUSTERS)[1]
    )
    state, table = new_state(epoch=2), mixed_table()
    labels = subject.label(FRAME, state, (table,), CAMERAS, 2)
    rows, clean = calibrated(state, table)
    assert np.any(rows != rows_of(state, table, "target"))
    assert np.any(clean < 0.1)
    expected = rows[0] / np.linalg.norm(rows[0], axis=1, keepdims=True)
    np.testing.assert_allclose(given[0], expected, atol=1e-7)
    np.testing.assert_array_equal(labels.labels[:, 0], CLUSTERS)


@pytest.mark.parametrize("clusters", ["kmeans", "dbscan"])
def test_clusters_are_found_in_the_first_epoch(clusters):
    changes = {"dhccn.clusters": clusters, "dhccn.k1": 4, "dhccn.k2": 2}
    frame, table = part_frame(**SETTINGS, **changes), part_table(0, CLUSTERS, num_parts=2)
    labels = subject.label(frame, new_state(), (table,), CAMERAS, 0)
    assert len({*zip(labels.labels[:, 0].tolist(), CLUSTERS.tolist(), strict=True)}) == 3
    assert labels.num_clusters == 3


def test_with_dbscan_there_is_room_for_a_cluster_in_four_triples():
    assert subject.capacity(part_frame(**{"dhccn.clusters": "dbscan"}).config, 40) == 10
    assert subject.capacity(part_frame(**{"dhccn.clusters": "dbscan", "dhccn.capacity": 7}).config, 40) == 7


# --- an epoch's beginning


def begun(state, *, source: bool = True, continued: bool = False):
    tables = SimpleNamespace(source=part_table(1, CLUSTERS, num_parts=2), target=mixed_table())
    target = np.where(CLUSTERS == 2, -1, CLUSTERS).astype(np.int32)
    labels = Labels(target[:, None], (target >= 0).astype(np.float32), 2, continued)
    features = EpochFeatures((tables.source,) if source else None, (tables.target,))
    return (
        subject.begin_epoch(FRAME, state, features, ByDomain(known_labels(CLUSTERS), labels)),
        tables,
        target,
    )


@pytest.mark.parametrize("epoch", [0, 2])
def test_the_memories_begin_with_centres_to_which_clean_samples_give_more(epoch):
    state = new_state(epoch=epoch)
    after, tables, target = begun(begin_phase(state, OPTIMIZER))
    rows, clean = (
        calibrated(state, tables.target) if epoch else (rows_of(state, tables.target, "target"), 1.0)
    )
    of_source = rows_of(state, tables.source, "source")
    for space in range(3):
        expected = [
            memories.cluster_centres(of_source[space], CLUSTERS, 3)[0],
            memories.cluster_centres(rows[space] * np.broadcast_to(clean, NUM_TRIPLES)[:, None], target, 4)[
                0
            ],
        ]
        np.testing.assert_allclose(after.slots.centres[space], np.concatenate(expected), atol=1e-6)
    np.testing.assert_array_equal(after.slots.exists, [True] * 3 + [True, True, False, False])
    np.testing.assert_array_equal(after.slots.labels, target)
    assert int(after.slots.epoch) == epoch + 1


@pytest.mark.parametrize(("epoch", "continued"), [(0, False), (2, False), (2, True)])
def test_the_clusters_columns_are_drawn_anew_unless_the_labels_go_on(epoch, continued):
    state = begin_phase(new_state(epoch=epoch), OPTIMIZER)
    state = state.replace(opt_state=jax.tree.map(lambda leaf: leaf + 1, state.opt_state))
    after, _, _ = begun(state, continued=continued)
    old, new = (np.asarray(each.params["heads"]["own"]["kernel"]) for each in (state, after))
    np.testing.assert_array_equal(np.all(old == new, axis=(0, 1)), [epoch > 0] * 3 + [continued] * 4)
    if not continued:
        assert 0.8 < new[..., 3:].std() / np.sqrt(2 / 5) < 1.2  # five classes exist
    moments = np.asarray(after.opt_state[1].mu["heads"]["own"]["kernel"])
    assert np.all(moments[..., 3:] == (1 if continued else 0))


def test_under_the_us_protocol_the_source_is_no_class():
    after, _, _ = begun(begin_phase(new_state(), OPTIMIZER), source=False)
    np.testing.assert_array_equal(after.slots.exists, [False] * 3 + [True, True, False, False])


# --- the step


@pytest.mark.parametrize("protocol", ["uda", "us"])
def test_a_step_teaches_all_features_and_moves_three_memories(protocol):
    frame = part_frame(**SETTINGS, **{"adapt.protocol": protocol})
    state = new_state(epoch=1)
    rng = np.random.default_rng(9)
    centres = rng.normal(size=state.slots.centres.shape)
    centres /= np.linalg.norm(centres, axis=-1, keepdims=True)
    state = state.replace(slots=state.slots._replace(centres=jnp.asarray(centres)))
    source = linear_batch(4, [0, 0, 2, 2]) if protocol == "uda" else None
    target = linear_batch(5, [1, 1, 0, 2], weight=[1, 0.5, 1, 0])
    value, change = subject.loss(frame, state.params, state, source, target, KEY)
    keys, exists = jax.random.split(KEY, 2), np.asarray(state.slots.exists)
    kernels, expected, moved = np.asarray(state.params["heads"]["own"]["kernel"]), {}, list(centres)
    for name, batch, key, first in (("source", source, keys[0], 0), ("target", target, keys[1], 3)):
        if batch is None:
            continue
        labels, weight = batch.labels[:, 0] + first, batch.weight
        spaces = passed_parts(state.params, seen(batch.images, key), num_parts=2)
        rows = joined(state.params, [each.unit for each in spaces])
        units = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in rows[:3]]
        contrasts = [
            contrastive.info_nce(each, memory, labels, exists, weight, 0.05)
            for each, memory in zip(units, centres, strict=True)
        ]
        moved = [
            memories.update_centres(memory, each, labels, exists, weight, 0.4, "sequential")
            for memory, each in zip(moved, units, strict=True)
        ]
        entropies = [
            identity.smoothed_cross_entropy(each @ kernel, labels, smoothing=0.0, exists=exists)
            for each, kernel in zip(rows, kernels, strict=True)
        ]
        expected |= {
            f"contrast_{name}": sum(contrasts),
            f"divergence_{name}": divergence.jensen_shannon(units[1], units[2], weight),
            f"triplet_{name}": sum(soft.softmax_triplet(each, labels, weight) for each in rows) / 5,
            f"identity_{name}": sum(np.sum(each * weight) / weight.sum() for each in entropies) / 5,
        }
    assert {name: float(term) for name, term in change.terms.items()} == pytest.approx(expected)
    share = {"contrast": 0.3, "divergence": 0.3, "triplet": 0.7, "identity": 0.7}
    total = sum(share[name.split("_")[0]] * term for name, term in expected.items())
    assert float(value) == pytest.approx(total)
    np.testing.assert_allclose(change.slots.centres, np.stack(moved), atol=1e-7)
    assert [int(each["network"]["passes"]) for each in change.statistics] == [int(protocol == "uda"), 1]
