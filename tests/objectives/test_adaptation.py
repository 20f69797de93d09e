"""Eq. 21 and 23 whole: each term, their sum and its slope, under every switch and on the batches that go wrong."""

from typing import NamedTuple

import jax
import numpy as np
import pytest

from man_jax.alignment.prototypes import Bank
from man_jax.networks.three_branch import Features, Outputs
from man_jax.objectives.memory import Memory
from man_jax.objectives.total import (
    Labelled,
    Objective,
    adaptation_loss,
    pretraining_loss,
    unsupervised_loss,
)
from tests.oracles import total as oracle
from tests.oracles.cases import unit_groups
from tests.oracles.precision import DOUBLE, SINGLE, Precision, assert_close, evaluate

M, B, D, S = 3, 5, 3, 12
C, K = 3, 2  # source identities, target clusters
FIRST = Objective(alpha=1.7, beta=0.3, memory_weight=0.6)
SECOND = Objective(
    alpha=0.4,
    smoothing=0.3,
    triplet_form="soft",
    triplet_fused="normed",
    domain_pairs="ins_ins",
    domain_inter="plain",
    domain_kernel="multi",
    modality_distance="cosine",
    modality_reduction="max",
    modality_pairing="equal",
)
THIRD = Objective(
    memory_weight=2.0,
    triplet_margin=0.9,
    domain_pairs="proto_proto",
    domain_inter="hinge",
    domain_margin=0.05,
    modality_margin=0.2,
)
every_reading = pytest.mark.parametrize("objective", [FIRST, SECOND, THIRD], ids=["first", "second", "third"])


class Moving(NamedTuple):
    """All that the gradient reaches, of source and target."""

    pooled: tuple[np.ndarray, np.ndarray]
    normed: tuple[np.ndarray, np.ndarray]
    fused_normed: tuple[np.ndarray, np.ndarray]
    logits: tuple[np.ndarray, np.ndarray]
    moved: tuple[np.ndarray, np.ndarray]


class Fixed(NamedTuple):
    labels: tuple[np.ndarray, np.ndarray]
    reliable: tuple[np.ndarray, np.ndarray]
    resting: tuple[np.ndarray, np.ndarray]
    valid: tuple[np.ndarray, np.ndarray]
    memory: Memory


def drawn(seed: int) -> tuple[Moving, Fixed]:
    rng = np.random.default_rng(seed)

    def both(make):
        return make(C), make(K)

    labels = np.array([0, 0, 1, 1, 2]), C + np.array([0, 0, 1, 1, 1])
    reliable = np.ones(B, bool), np.array([True, True, True, False, True])
    valid = np.ones(C, bool), np.ones(K, bool)
    held = np.where(np.arange(S) < S - 2, np.arange(S) % (C + K), -1)
    memory = Memory(rng.normal(size=(S, M * D)) * (held >= 0)[:, None], held, np.array(S - 2))
    moving = Moving(
        both(lambda _: rng.normal(size=(M, B, D))),
        both(lambda _: 3 * unit_groups(rng, M, B, D)),
        both(lambda _: rng.normal(size=(B, M * D))),
        both(lambda _: rng.normal(size=(M + 1, B, C + K))),
        both(lambda classes: unit_groups(rng, M, classes, D)),
    )
    resting = both(lambda classes: unit_groups(rng, M, classes, D))
    return moving, Fixed(labels, reliable, resting, valid, memory)


def labelled(moving: Moving, fixed: Fixed) -> list[Labelled]:
    parts = zip(*moving[:4], fixed.labels, fixed.reliable, strict=True)
    return [Labelled(Outputs(Features(g, f), fused, logits), *rest) for g, f, fused, logits, *rest in parts]


def banks(modal, valid) -> tuple[Bank, Bank]:
    source, target = (Bank(rows, rows[0], there) for rows, there in zip(modal, valid, strict=True))
    return source, target


def value_and_slope(moving: Moving, fixed: Fixed, *, objective: Objective):
    def loss(moving: Moving):
        return adaptation_loss(
            *labelled(moving, fixed),
            banks=banks(fixed.resting, fixed.valid),
            moved_banks=banks(moving.moved, fixed.valid),
            memory=fixed.memory,
            objective=objective,
        )

    (total, terms), slope = jax.value_and_grad(loss, has_aux=True)(moving)
    return {"total": total, **terms}, slope


def batches(moving: Moving, fixed: Fixed) -> list[oracle.Batch]:
    return [oracle.Batch(*parts) for parts in zip(*moving[:4], fixed.labels, fixed.reliable, strict=True)]


def subset(modal, valid):
    return [rows[:, there] for rows, there in zip(modal, valid, strict=True)]


def entries(memory: Memory) -> list:
    return [pair for pair in zip(memory.features, memory.labels, strict=True) if pair[1] >= 0]


def formula(moving: Moving, fixed: Fixed, objective: Objective, *, at: Moving | None = None):
    sets = (subset(rows, fixed.valid) for rows in (fixed.resting, moving.moved))
    base = batches(at or moving, fixed)
    return oracle.adaptation(batches(moving, fixed), *sets, entries(fixed.memory), objective, at=base)


def assert_terms(actual: dict, expected: dict, precision: Precision = DOUBLE, **_) -> None:
    assert set(actual) == set(expected)
    for name, value in expected.items():
        assert_close(actual[name], value, precision)


@every_reading
def test_each_term_and_the_total_are_those_of_eq_23(objective):
    moving, fixed = drawn(0)
    terms, _ = evaluate(value_and_slope, moving, fixed, objective=objective)
    assert_terms(terms, formula(moving, fixed, objective))


@every_reading
@pytest.mark.parametrize("seed", range(2))
def test_the_total_has_the_slope_of_its_formula_in_any_direction(objective, seed):
    moving, fixed = drawn(seed)
    rng, step = np.random.default_rng(seed + 100), 1e-6
    _, slope = evaluate(value_and_slope, moving, fixed, objective=objective)
    for part in Moving._fields:
        towards = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), getattr(moving, part))

        def moved(sign, part=part, towards=towards):
            ahead = jax.tree.map(lambda leaf, way: leaf + sign * step * way, getattr(moving, part), towards)
            return formula(moving._replace(**{part: ahead}), fixed, objective, at=moving)["total"]

        along = sum(float((a * b).sum()) for a, b in zip(getattr(slope, part), towards, strict=True))
        assert along == pytest.approx((moved(1) - moved(-1)) / (2 * step), rel=1e-5, abs=1e-6), part


def gone_wrong(case: str) -> tuple[Moving, Fixed]:
    moving, fixed = drawn(2)
    nobody = jax.tree.map(np.zeros_like, fixed.reliable)
    invalid = jax.tree.map(np.zeros_like, fixed.valid)
    match case:
        case "no reliable sample":
            fixed = fixed._replace(reliable=(fixed.reliable[0], nobody[1]))
        case "no valid cluster":
            nowhere = jax.tree.map(np.zeros_like, fixed.resting)
            fixed = fixed._replace(valid=(fixed.valid[0], invalid[1]), resting=(fixed.resting[0], nowhere[1]))
        case "one cluster invalid":
            fixed = fixed._replace(valid=(fixed.valid[0], np.arange(K) > 0))
        case "a single identity":
            fixed = fixed._replace(labels=(np.zeros(B, int), np.full(B, C)))
        case "one sample a class":
            fixed = fixed._replace(reliable=(np.arange(B) % 2 == 0, np.arange(B) % 2 == 1))
        case "an empty memory":
            fixed = fixed._replace(memory=Memory(np.zeros((S, M * D)), np.full(S, -1), np.array(0)))
        case "zero vectors":
            moving = jax.tree.map(np.zeros_like, moving)
        case "everything alike":
            moving = jax.tree.map(lambda leaf: np.full_like(leaf, 0.5), moving)
            fixed = fixed._replace(
                resting=jax.tree.map(lambda leaf: np.full_like(leaf, D**-0.5), fixed.resting)
            )
        case "nothing at all":
            moving = jax.tree.map(np.zeros_like, moving)
            fixed = fixed._replace(reliable=nobody, valid=invalid)
    return moving, fixed


CASES = (
    "no reliable sample",
    "no valid cluster",
    "one cluster invalid",
    "a single identity",
    "one sample a class",
    "an empty memory",
    "zero vectors",
    "everything alike",
    "nothing at all",
)


@every_reading
@pytest.mark.parametrize("case", CASES)
def test_no_batch_gives_a_number_that_is_not_finite_or_not_the_formula_s(case, objective):
    moving, fixed = gone_wrong(case)
    terms, slope = evaluate(value_and_slope, moving, fixed, objective=objective, precision=SINGLE)
    # Of rows that coincide, single precision finds distances of up to the root of its rounding.
    assert_terms(terms, formula(moving, fixed, objective), Precision("float32", rtol=1e-4, atol=5e-3))
    for leaf in jax.tree.leaves(slope):
        assert np.isfinite(leaf).all()
        assert np.abs(leaf).max() < 1e3


def us_terms(moving: Moving, fixed: Fixed, *, objective: Objective):
    _, target = labelled(moving, fixed)
    bank = banks(fixed.resting, fixed.valid)[1]
    total, terms = unsupervised_loss(target, bank=bank, memory=fixed.memory, objective=objective)
    return {"total": total, **terms}


def pretraining_terms(moving: Moving, fixed: Fixed, *, objective: Objective):
    source, _ = labelled(moving, fixed)
    total, terms = pretraining_loss(source.outputs, fixed.labels[0], objective)
    return {"total": total, **terms}


@every_reading
def test_without_the_source_each_term_is_that_of_the_target_alone(objective):
    moving, fixed = drawn(3)
    expected = oracle.unsupervised(
        batches(moving, fixed)[1], subset(fixed.resting, fixed.valid)[1], entries(fixed.memory), objective
    )
    assert_terms(evaluate(us_terms, moving, fixed, objective=objective), expected)


@every_reading
def test_pretraining_is_eq_21_on_the_source(objective):
    moving, fixed = drawn(4)
    identity, triplet = oracle.reid(batches(moving, fixed)[0], objective)
    expected = {"identity_source": identity, "triplet_source": triplet, "total": identity + triplet}
    assert_terms(evaluate(pretraining_terms, moving, fixed, objective=objective), expected)
