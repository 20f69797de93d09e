"""Mutual mean-teaching: who learns from whom, from which view, and who follows whom."""

import jax
import numpy as np
import pytest

from man_jax.engine.labelling import known_labels
from man_jax.engine.optimizer import make_optimizer
from man_jax.engine.state import begin_phase
from man_jax.frame import ByDomain, EpochFeatures, FeatureTable, Labels
from man_jax.methods import mmt as subject
from man_jax.randomness import other_key
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
from tests.oracles import identity, memories, soft
from tests.oracles.cases import unit_normal

KEY = jax.random.key(3)
FRAME = linear_frame(**{"method": "mmt", "adapt.num_clusters": 3, "mmt.soft_identity": 0.3})
OPTIMIZER = make_optimizer("adam", lambda _: 0.1, weight_decay=0.0)
CLUSTERS = np.arange(NUM_TRIPLES, dtype=np.int32) % 3


@pytest.fixture(autouse=True, scope="module")
def double_precision():
    with jax.enable_x64(True):
        yield


def new_state():
    """A state in which all four networks are others."""
    state = subject.start(FRAME, linear_state())
    other = {
        f"{kind} {name}": linear_state(seed).params
        for seed, (kind, name) in enumerate(
            [("student", "first"), ("student", "second"), ("teacher", "first"), ("teacher", "second")]
        )
    }
    teachers = {
        name: {**teacher, "params": other[f"teacher {name}"]}
        for name, teacher in state.slots.teachers.items()
    }
    return state.replace(
        params={name: other[f"student {name}"] for name in ("first", "second")},
        slots=state.slots._replace(teachers=teachers, exists=SPACE.exists(3)),
    )


def test_all_four_begin_as_the_pre_trained_network():
    before = linear_state()
    state = subject.start(FRAME, before)
    for params in (*state.params.values(), *(each["params"] for each in state.slots.teachers.values())):
        assert params is before.params


@pytest.mark.parametrize("protocol", ["uda", "us"])
def test_each_student_learns_from_the_labels_and_from_the_other_s_teacher(protocol):
    state = new_state()
    source = linear_batch(4, [0, 0, 2, 2]) if protocol == "uda" else None
    target = linear_batch(5, [1, 1, 0, 0], weight=[1, 1, 1, 0.5])
    value, change = subject.loss(FRAME, state.params, state, source, target, KEY)
    exists, labels, weight = np.asarray(state.slots.exists), target.labels[:, 0] + 3, target.weight
    expected = {}
    for name, other in (("first", "second"), ("second", "first")):
        views = {each: jax.random.split(key, 2) for each, key in _keys().items()}
        student = passed(state.params[name], seen(target.images, views[name][1]))
        teacher = passed(state.slots.teachers[other]["params"], seen(target.images, views[other][1]))
        hard = identity.smoothed_cross_entropy(student.logits, labels, exists=exists)
        expected |= {
            f"identity_target_{name}": float(np.sum(hard * weight) / weight.sum()),
            f"triplet_target_{name}": soft.softmax_triplet(student.pooled, labels, weight),
            f"soft_identity_{name}": soft.soft_cross_entropy(student.logits, teacher.logits, exists, weight),
            f"soft_triplet_{name}": soft.soft_triplet(student.pooled, teacher.pooled, labels, weight),
        }
        if source is not None:
            student = passed(state.params[name], seen(source.images, views[name][0]))
            hard = identity.smoothed_cross_entropy(student.logits, source.labels[:, 0], exists=exists)
            expected[f"identity_source_{name}"] = float(np.mean(hard))
            expected[f"triplet_source_{name}"] = soft.softmax_triplet(
                student.pooled, source.labels[:, 0], source.weight
            )
    assert {term: float(found) for term, found in change.terms.items()} == pytest.approx(expected)
    share = {"identity_target": 0.7, "soft_identity": 0.3, "triplet_target": 0.2, "soft_triplet": 0.8}
    total = sum(share.get(term.rsplit("_", 1)[0], 1.0) * found for term, found in expected.items())
    assert float(value) == pytest.approx(total)


def _keys() -> dict:
    return {"first": KEY, "second": other_key(KEY, "second view")}


def test_no_gradient_reaches_a_teacher_and_its_statistics_move_with_the_target_alone():
    state = new_state()
    _, change = subject.loss(
        FRAME, state.params, state, linear_batch(4, [0, 0, 2, 2]), linear_batch(5, [1, 1, 0, 0]), KEY
    )
    for teacher in change.slots.teachers.values():
        assert [int(each["passes"]) for each in teacher["statistics"]] == [0, 1]
    for student in change.statistics.values():
        assert [int(each["passes"]) for each in student] == [1, 1]


@pytest.mark.parametrize("updates", [0, 3, 5000])
def test_a_teacher_follows_its_own_student(updates):
    state = new_state()
    state = state.replace(slots=state.slots._replace(updates=np.int32(updates)))
    after = subject.after_update(FRAME, state)
    for name in ("first", "second"):
        teacher, student = (
            np.asarray(params["matrix"])
            for params in (state.slots.teachers[name]["params"], state.params[name])
        )
        expected = memories.moving_average(teacher, student, updates, 0.999)
        np.testing.assert_allclose(after.slots.teachers[name]["params"]["matrix"], expected)
    assert int(after.slots.updates) == updates + 1


def tables() -> tuple[FeatureTable, ...]:
    rng = np.random.default_rng(0)
    modal = [unit_normal(rng, M, 3, D)[:, CLUSTERS] for _ in range(2)]
    return tuple(FeatureTable(each, np.concatenate(list(each), axis=1) / np.sqrt(M), each) for each in modal)


def test_the_mean_of_both_teachers_features_is_clustered():
    first, second = tables()
    # Each teacher tells two of the three clusters apart; only both together tell all three.
    half = [each.fused.copy() for each in (first, second)]
    half[0][CLUSTERS == 1] = half[0][CLUSTERS == 0][0]
    half[1][CLUSTERS == 2] = half[1][CLUSTERS == 0][0]
    found = subject.label(
        FRAME,
        linear_state(),
        tuple(FeatureTable(first.modal, each, first.pooled) for each in half),
        np.zeros(NUM_TRIPLES, np.int32),
        0,
    )
    assert len(set(zip(found.labels[:, 0].tolist(), CLUSTERS.tolist(), strict=True))) == 3
    assert np.all(found.weight == 1)


@pytest.mark.parametrize("continued", [False, True])
def test_all_heads_get_the_centres_as_columns_unless_the_labels_go_on(continued):
    state = begin_phase(new_state(), OPTIMIZER)
    state = state.replace(opt_state=jax.tree.map(lambda leaf: leaf + 1, state.opt_state))
    labels = Labels(CLUSTERS[:, None], np.ones(NUM_TRIPLES, np.float32), 3, continued)
    first, second = tables()
    features = EpochFeatures(None, (first, second))
    after = subject.begin_epoch(FRAME, state, features, ByDomain(known_labels(CLUSTERS), labels))
    mean = first.fused + second.fused
    mean = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    centres = memories.cluster_centres(mean, CLUSTERS, 3)[0]
    every = {f"student {name}": (state.params[name], after.params[name]) for name in state.params} | {
        f"teacher {name}": (before["params"], after.slots.teachers[name]["params"])
        for name, before in state.slots.teachers.items()
    }
    for before, found in every.values():
        old, new = (np.asarray(each["heads"]["fused"]["kernel"]) for each in (before, found))
        np.testing.assert_array_equal(new[:, : SPACE.num_source], old[:, : SPACE.num_source])
        expected = old[:, 3:6] if continued else centres.T
        np.testing.assert_allclose(new[:, 3:6], expected, atol=1e-6)
        np.testing.assert_array_equal(new[:, 6:], old[:, 6:])
    moments = after.opt_state[1].mu["first"]["heads"]["fused"]["kernel"]
    assert np.all(np.asarray(moments)[:, 3:] == (1 if continued else 0))
    assert np.all(np.asarray(moments)[:, :3] == 1)
    np.testing.assert_array_equal(after.slots.exists, [True] * 6 + [False])


def test_the_first_teacher_is_tested():
    state = new_state()
    variables = subject.TEACHERS[0].variables(state, "target")
    assert variables["params"] is state.slots.teachers["first"]["params"]
    assert (
        subject.TEACHERS[1].variables(state, "target")["params"] is state.slots.teachers["second"]["params"]
    )
