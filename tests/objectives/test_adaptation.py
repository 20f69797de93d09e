"""Eq. 21, Eq. 23 and the US protocol whole: each term, the sum and its slope, every switch, batches that go wrong."""

from typing import NamedTuple

import jax
import numpy as np
import pytest

from man_jax.memories.cross_batch import Memory
from man_jax.memories.prototypes import Bank
from man_jax.networks.three_branch import Features, Outputs
from man_jax.objectives.total import (
    Labelled,
    Objective,
    adaptation_loss,
    pretraining_loss,
    term_weights,
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
    triplet_fused="pooled",
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


def adaptation(moving: Moving, fixed: Fixed, objective: Objective):
    return adaptation_loss(
        *labelled(moving, fixed),
        banks=banks(fixed.resting, fixed.valid),
        moved_banks=banks(moving.moved, fixed.valid),
        memory=fixed.memory,
        objective=objective,
    )


def unsupervised(moving: Moving, fixed: Fixed, objective: Objective):
    _, target = labelled(moving, fixed)
    bank = banks(fixed.resting, fixed.valid)[1]
    return unsupervised_loss(target, bank=bank, memory=fixed.memory, objective=objective)


def pretraining(moving: Moving, fixed: Fixed, objective: Objective):
    source, _ = labelled(moving, fixed)
    return pretraining_loss(source.outputs, fixed.labels[0], objective)


def value_and_slope(moving: Moving, fixed: Fixed, *, objective: Objective, loss):
    """The total and its terms by name, and the total's slope."""
    (total, terms), slope = jax.value_and_grad(loss, has_aux=True)(moving, fixed, objective)
    return {"total": total, **terms}, slope


def batches(moving: Moving, fixed: Fixed) -> list[oracle.Batch]:
    return [oracle.Batch(*parts) for parts in zip(*moving[:4], fixed.labels, fixed.reliable, strict=True)]


def subset(modal, valid):
    return [rows[:, there] for rows, there in zip(modal, valid, strict=True)]


def entries(memory: Memory) -> list:
    return [pair for pair in zip(memory.features, memory.labels, strict=True) if pair[1] >= 0]


def adaptation_formula(moving: Moving, fixed: Fixed, objective: Objective, *, at: Moving):
    sets = (subset(rows, fixed.valid) for rows in (fixed.resting, moving.moved))
    base = batches(at, fixed)
    return oracle.adaptation(batches(moving, fixed), *sets, entries(fixed.memory), objective, at=base)


def unsupervised_formula(moving: Moving, fixed: Fixed, objective: Objective, **_):
    _, prototypes = subset(fixed.resting, fixed.valid)
    return oracle.unsupervised(batches(moving, fixed)[1], prototypes, entries(fixed.memory), objective)


def pretraining_formula(moving: Moving, fixed: Fixed, objective: Objective, **_):
    """Of all triples: a label of the source is a true one."""
    source = batches(moving, fixed)[0]._replace(reliable=np.ones(B, bool))
    identity, triplet = oracle.reid(source, objective)
    return {"identity_source": identity, "triplet_source": triplet, "total": identity + triplet}


every_loss = pytest.mark.parametrize(
    ("loss", "formula"),
    [
        (adaptation, adaptation_formula),
        (unsupervised, unsupervised_formula),
        (pretraining, pretraining_formula),
    ],
    ids=["adaptation", "unsupervised", "pretraining"],
)


def assert_terms(actual: dict, expected: dict, precision: Precision = DOUBLE) -> None:
    assert set(actual) == set(expected)
    for name, value in expected.items():
        assert_close(actual[name], value, precision)


@every_reading
@every_loss
def test_each_term_and_the_total_are_those_of_the_formula(loss, formula, objective):
    moving, fixed = drawn(0)
    terms, _ = evaluate(value_and_slope, moving, fixed, objective=objective, loss=loss)
    assert_terms(terms, formula(moving, fixed, objective, at=moving))


@every_reading
@pytest.mark.parametrize("formula", [adaptation_formula, unsupervised_formula, pretraining_formula])
def test_the_terms_times_their_weights_sum_to_the_total(formula, objective):
    moving, fixed = drawn(0)
    terms, weights = formula(moving, fixed, objective, at=moving), term_weights(objective)
    total = float(terms.pop("total"))
    assert sum(weights.get(name, 1.0) * float(term) for name, term in terms.items()) == pytest.approx(total)


@every_reading
@every_loss
@pytest.mark.parametrize("seed", range(2))
def test_the_total_has_the_slope_of_its_formula_in_any_direction(loss, formula, objective, seed):
    moving, fixed = drawn(seed)
    rng, step = np.random.default_rng(seed + 100), 1e-6
    _, slope = evaluate(value_and_slope, moving, fixed, objective=objective, loss=loss)
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
@every_loss
@pytest.mark.parametrize("case", CASES)
def test_no_batch_gives_a_number_that_is_not_finite_or_not_the_formula_s(case, loss, formula, objective):
    moving, fixed = gone_wrong(case)
    terms, slope = evaluate(value_and_slope, moving, fixed, objective=objective, loss=loss, precision=SINGLE)
    # Of rows that coincide, single precision finds distances of up to the root of its rounding.
    expected = formula(moving, fixed, objective, at=moving)
    assert_terms(terms, expected, Precision("float32", rtol=1e-4, atol=5e-3))
    for leaf in jax.tree.leaves(slope):
        assert np.isfinite(leaf).all()
        assert np.abs(leaf).max() < 1e3
