"""LP: the distance that is clustered, when the student takes the teacher's place, and what a step learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from man_jax.clustering.dbscan import dbscan
from man_jax.clustering.jaccard import jaccard_distances
from man_jax.engine.labelling import known_labels
from man_jax.engine.optimizer import make_optimizer
from man_jax.engine.state import begin_phase
from man_jax.frame import ByDomain, EpochFeatures, Labels
from man_jax.methods import lp as subject
from tests.methods.linear_model import NUM_TRIPLES, SPACE, linear_batch, seen
from tests.methods.part_model import normed_rows, part_frame, part_state, part_table, passed_parts
from tests.oracles import contrastive, distillation, memories

KEY = jax.random.key(3)
SETTINGS = {
    "method": "lp",
    "adapt.num_clusters": 3,
    "adapt.epochs": 4,
    "lp.part_loss": 0.3,
    "lp.momentum": 0.4,
}
FRAME = part_frame(**SETTINGS)
OPTIMIZER = make_optimizer("adam", lambda _: 0.1, weight_decay=0.0)
CLUSTERS = np.arange(NUM_TRIPLES, dtype=np.int32) % 3
CAMERAS = np.zeros(NUM_TRIPLES, np.int32)


@pytest.fixture(autouse=True, scope="module")
def double_precision():
    with jax.enable_x64(True):
        yield


def labels_of(clusters: np.ndarray) -> Labels:
    return Labels(clusters[:, None], (clusters >= 0).astype(np.float32), int(clusters.max()) + 1)


def begun(state, *, source: bool = True, target: np.ndarray = CLUSTERS, frame=FRAME):
    tables = [part_table(seed, CLUSTERS, num_parts=2) for seed in (1, 2)]
    features = EpochFeatures((tables[0],) if source else None, (tables[1],))
    known = ByDomain(known_labels(CLUSTERS), labels_of(target))
    return subject.begin_epoch(frame, state, features, known), tables


# --- labels


def test_the_cosine_is_a_mixture_of_the_whole_and_of_both_halves():
    """The whole and each half tell two of three clusters apart; only the mixture tells all."""
    frame = part_frame(**SETTINGS, **{"lp.part_distance": 0.3})
    alike = [np.where(c == CLUSTERS, (c + 1) % 3, CLUSTERS) for c in range(3)]
    tables = [part_table(seed, each, num_parts=2, noise=0.001) for seed, each in enumerate(alike)]
    parts = np.stack([tables[1].parts[0], tables[2].parts[1]])
    labels = subject.label(
        frame, subject.start(frame, part_state()), (tables[0]._replace(parts=parts),), CAMERAS, 0
    )
    assert len({*zip(labels.labels[:, 0].tolist(), CLUSTERS.tolist(), strict=True)}) == 3
    assert np.all(labels.weight == 1)


def test_dbscan_reads_the_mixture_of_the_jaccard_distances():
    changes = {"lp.clusters": "dbscan", "lp.k1": 4, "lp.k2": 2, "lp.part_distance": 0.3, "lp.eps": 0.3}
    frame = part_frame(**SETTINGS, **changes, **{"lp.min_samples": 3})
    state, table = subject.start(frame, part_state()), part_table(0, CLUSTERS, num_parts=2, noise=0.5)
    labels = subject.label(frame, state, (table,), CAMERAS, 0)
    running = state.statistics.target["necks"]
    halves = [normed_rows(rows, state.params["necks"], p, running).unit for p, rows in enumerate(table.parts)]
    each = [jaccard_distances(rows, k1=4, k2=2) for rows in (table.fused, *halves)]
    mixed = 0.4 * each[0] + 0.3 * each[1] + 0.3 * each[2]
    np.testing.assert_array_equal(labels.labels[:, 0], dbscan(mixed, eps=0.3, min_samples=3))
    assert 0 < labels.weight.sum() < NUM_TRIPLES
    np.testing.assert_array_equal(labels.weight, labels.labels[:, 0] >= 0)


def test_without_a_share_of_the_halves_the_whole_alone_is_clustered():
    frame = part_frame(**SETTINGS | {"lp.part_distance": 0.0, "adapt.num_clusters": 2})
    table = part_table(0, CLUSTERS // 2, num_parts=2)
    table = table._replace(parts=part_table(1, CLUSTERS, num_parts=2).parts)
    labels = subject.label(frame, subject.start(frame, part_state()), (table,), CAMERAS, 0)
    assert len({*zip(labels.labels[:, 0].tolist(), (CLUSTERS // 2).tolist(), strict=True)}) == 2


def test_with_dbscan_there_is_room_for_a_cluster_in_four_triples():
    assert subject.capacity(part_frame(**{"lp.clusters": "dbscan"}).config, 40) == 10
    assert subject.capacity(part_frame(**{"lp.clusters": "dbscan", "lp.capacity": 7}).config, 40) == 7


# --- an epoch's beginning


def test_each_memory_begins_with_the_centres_of_its_space():
    target = np.where(CLUSTERS == 2, -1, CLUSTERS).astype(np.int32)
    state = subject.start(FRAME, part_state())
    after, tables = begun(state, target=target)
    for space in range(3):
        rows = []
        for domain, table in zip(("source", "target"), tables, strict=True):
            running = getattr(state.statistics, domain)["necks"]
            rows.append(
                table.fused
                if space == 0
                else normed_rows(table.parts[space - 1], state.params["necks"], space - 1, running).unit
            )
        expected = [
            memories.cluster_centres(rows[0], CLUSTERS, SPACE.num_source)[0],
            memories.cluster_centres(rows[1], target, SPACE.capacity)[0],
        ]
        np.testing.assert_allclose(after.slots.centres[space], np.concatenate(expected), atol=1e-6)
    np.testing.assert_array_equal(after.slots.exists, [True] * 3 + [True, True, False, False])
    after, _ = begun(state, source=False)
    np.testing.assert_array_equal(after.slots.exists, [False] * 3 + [True, True, True, False])


def test_after_the_teacher_s_epochs_the_student_starts_again_beside_the_teacher():
    """Of four epochs the teacher has two; in the student's first one the memories stay."""
    optimizer = OPTIMIZER
    pretrained = subject.start(FRAME, part_state())
    state = begin_phase(pretrained, optimizer)
    told = []
    for epoch in range(4):
        learnt = jax.tree.map(lambda leaf, e=epoch: leaf + e + 1, state.params)
        ones = jax.tree.map(jnp.ones_like, state.opt_state)
        state, _ = begun(state.replace(params=learnt, opt_state=ones))
        told.append((bool(state.slots.distils), bool(state.slots.still)))
        moments = jax.tree.leaves(state.opt_state[1].mu)
        assert all(np.all(np.asarray(leaf) == (epoch != 2)) for leaf in moments)
        matrix = np.asarray(pretrained.params["network"]["matrix"])
        if epoch == 1:
            np.testing.assert_allclose(state.params["network"]["matrix"], matrix + 3)
            np.testing.assert_array_equal(state.slots.kept["params"]["network"]["matrix"], matrix)
        if epoch == 2:
            np.testing.assert_array_equal(state.params["network"]["matrix"], matrix)
            np.testing.assert_allclose(state.slots.kept["params"]["network"]["matrix"], matrix + 6)
    assert told == [(False, False), (False, False), (True, True), (True, False)]


# --- the step


@pytest.mark.parametrize("protocol", ["uda", "us"])
@pytest.mark.parametrize(("distils", "still"), [(False, False), (True, True), (True, False)])
def test_a_step_contrasts_each_space_and_the_student_stays_near_the_teacher(protocol, distils, still):
    frame = part_frame(**SETTINGS, **{"adapt.protocol": protocol, "lp.distillation": 0.7})
    state, _ = begun(subject.start(frame, part_state()), source=protocol == "uda", frame=frame)
    kept = subject.start(frame, part_state(1)).slots.kept
    state = state.replace(
        slots=state.slots._replace(kept=kept, distils=jnp.array(distils), still=jnp.array(still))
    )
    source = linear_batch(4, [0, 0, 2, 2]) if protocol == "uda" else None
    target = linear_batch(5, [1, 1, 0, 2], weight=[1, 0.5, 1, 0])
    value, change = subject.loss(frame, state.params, state, source, target, KEY)
    keys = jax.random.split(KEY, 2)
    centres, exists = np.asarray(state.slots.centres), np.asarray(state.slots.exists)
    expected, moved = {}, list(centres)
    for name, batch, key, first in (("source", source, keys[0], 0), ("target", target, keys[1], 3)):
        if batch is None:
            continue
        labels, view = batch.labels[:, 0] + first, seen(batch.images, key)
        spaces = [each.unit for each in passed_parts(state.params, view, num_parts=2)]
        nce = [
            contrastive.info_nce(rows, memory, labels, exists, batch.weight, 0.05)
            for rows, memory in zip(spaces, centres, strict=True)
        ]
        expected |= {f"contrast_{name}": nce[0], f"contrast_parts_{name}": nce[1] + nce[2]}
        momentum = 1.0 if still else 0.4
        moved = [
            memories.update_centres(memory, rows, labels, exists, batch.weight, momentum, "sequential")
            for memory, rows in zip(moved, spaces, strict=True)
        ]
        if name == "target":
            taught = [each.unit for each in passed_parts(kept["params"], view, num_parts=2)]
            apart = [
                distillation.feature_distillation(own, other, batch.weight) * distils
                for own, other in zip(spaces, taught, strict=True)
            ]
            expected |= {"distillation": apart[0], "distillation_parts": apart[1] + apart[2]}
    assert {name: float(term) for name, term in change.terms.items()} == pytest.approx(expected)
    share = {"contrast": 0.7, "contrast_parts": 0.3, "distillation": 0.49, "distillation_parts": 0.21}
    total = sum(
        share[name.removesuffix("_source").removesuffix("_target")] * term for name, term in expected.items()
    )
    assert float(value) == pytest.approx(total)
    np.testing.assert_allclose(change.slots.centres, np.stack(moved), atol=1e-7)
    assert [int(each["network"]["passes"]) for each in change.statistics] == [int(protocol == "uda"), 1]
