"""Eq. 23 and the US protocol whole: each term, the sum and its slope, every switch, batches that go wrong."""

from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from man_jax.configs import default
from man_jax.frame import ByDomain
from man_jax.memories.cross_batch import CrossBatch
from man_jax.memories.prototypes import Bank
from man_jax.methods.man import objective_form, weights
from man_jax.networks.three_branch import Features, Outputs
from man_jax.objectives.man import Learnt, adaptation_loss, domain_loss, unsupervised_loss
from tests.oracles import domain as domain_oracle
from tests.oracles import man as oracle
from tests.oracles.cases import unit_groups, unit_normal
from tests.oracles.precision import DOUBLE, SINGLE, Precision, assert_close, evaluate
from tests.oracles.reid import Batch

M, B, D, S = 3, 5, 3, 12
C, K = 3, 3  # source identities, room for target clusters
NUM_CLUSTERS = 2
CHANGES = {
    "first": {"man.alpha": 1.7, "man.beta": 0.3, "man.memory_weight": 0.6},
    "second": {
        "man.alpha": 0.4,
        "loss.smoothing": 0.3,
        "loss.triplet_form": "soft",
        "man.domain_pairs": "ins_ins",
        "man.domain_inter": "plain",
        "man.domain_kernel": "multi",
        "man.modality_distance": "cosine",
        "man.modality_reduction": "max",
        "man.modality_pairing": "equal",
    },
    "third": {
        "man.memory_weight": 2.0,
        "loss.triplet_margin": 0.9,
        "loss.triplet_fused": "pooled",
        "man.domain_pairs": "proto_proto",
        "man.domain_inter": "hinge",
        "man.domain_margin": 0.05,
        "man.modality_margin": 0.2,
    },
    "fourth": {
        "man.aligned": "pooled",
        "man.identity_target": "ramp",
        "man.reliability": "score",
    },
    "fifth": {"man.identity_target": "off", "man.aligned": "pooled", "man.modal_weight": 0.4},
}
STEPS_SO_FAR, STEPS = 30, 120
"""A quarter of the steps, so that the target's L_id has a quarter of its weight where it rises."""
SCORES = np.array([1, 1 / 2, 1 / 6, 1 / 2, 1 / 3])
IDENTITY_WEIGHT = {"on": 1.0, "off": 0.0, "ramp": STEPS_SO_FAR / STEPS}


def read_as(changes: dict[str, Any]):
    """The default configuration with some of its values changed."""
    config = default.get_config()
    config.adapt.update(epochs=4, iterations=STEPS // 4)
    config.update_from_flattened_dict(changes)
    return config


CONFIGS = {reading: read_as(changes) for reading, changes in CHANGES.items()}
every_reading = pytest.mark.parametrize("reading", CONFIGS)


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
    queue: CrossBatch
    exists: np.ndarray


def drawn(seed: int) -> tuple[Moving, Fixed]:
    rng = np.random.default_rng(seed)

    def both(make):
        return make(C), make(K)

    labels = np.array([0, 0, 1, 1, 2]), C + np.array([0, 0, 1, 1, 1])
    reliable = np.ones(B, bool), np.array([True, True, True, False, True])
    valid = np.ones(C, bool), np.arange(K) < NUM_CLUSTERS
    held = np.where(np.arange(S) < S - 2, np.arange(S) % (C + NUM_CLUSTERS), -1)
    queue = CrossBatch(rng.normal(size=(S, M * D)) * (held >= 0)[:, None], held, np.array(S - 2))
    moving = Moving(
        both(lambda _: rng.normal(size=(M, B, D))),
        both(lambda _: 3 * unit_groups(rng, M, B, D)),
        both(lambda _: rng.normal(size=(B, M * D))),
        both(lambda _: rng.normal(size=(M + 1, B, C + K))),
        both(lambda classes: unit_groups(rng, M, classes, D)),
    )
    resting = both(lambda classes: unit_groups(rng, M, classes, D))
    return moving, Fixed(labels, reliable, resting, valid, queue, np.arange(C + K) < C + NUM_CLUSTERS)


def learnt(moving: Moving, fixed: Fixed, config) -> list[Learnt]:
    weights = jax.tree.map(lambda each: each.astype(moving.pooled[0].dtype), weights_of(config))
    parts = zip(*moving[:4], fixed.labels, fixed.reliable, weights, strict=True)
    return [Learnt(Outputs(Features(g, f), fused, logits), *rest) for g, f, fused, logits, *rest in parts]


def weights_of(config) -> tuple:
    """How much the rows of each domain count."""
    return (None, None) if config.man.reliability == "threshold" else (np.ones(B), SCORES)


def banks(modal, valid) -> ByDomain[Bank]:
    return ByDomain(*(Bank(rows, rows[0], there) for rows, there in zip(modal, valid, strict=True)))


def adaptation(moving: Moving, fixed: Fixed, config):
    return adaptation_loss(
        *learnt(moving, fixed, config),
        banks=banks(fixed.resting, fixed.valid),
        moved_banks=banks(moving.moved, fixed.valid),
        queue=fixed.queue,
        exists=fixed.exists,
        form=objective_form(config, STEPS_SO_FAR),
    )


def unsupervised(moving: Moving, fixed: Fixed, config):
    _, target = learnt(moving, fixed, config)
    bank = banks(fixed.resting, fixed.valid).target
    form = objective_form(config, STEPS_SO_FAR)
    return unsupervised_loss(target, bank=bank, queue=fixed.queue, exists=fixed.exists, form=form)


def value_and_slope(moving: Moving, fixed: Fixed, *, reading: str, loss):
    """The total and its terms by name, and the total's slope."""
    (total, terms), slope = jax.value_and_grad(loss, has_aux=True)(moving, fixed, CONFIGS[reading])
    return {"total": total, **terms}, slope


def batches(moving: Moving, fixed: Fixed, config) -> list[Batch]:
    parts = zip(*moving[:4], fixed.labels, fixed.reliable, weights_of(config), strict=True)
    return [Batch(*each) for each in parts]


def subset(modal, valid):
    return [rows[:, there] for rows, there in zip(modal, valid, strict=True)]


def entries(queue: CrossBatch) -> list:
    return [pair for pair in zip(queue.features, queue.labels, strict=True) if pair[1] >= 0]


def adaptation_formula(moving: Moving, fixed: Fixed, config, *, at: Moving):
    sets = (subset(rows, fixed.valid) for rows in (fixed.resting, moving.moved))
    held, base = entries(fixed.queue), batches(at, fixed, config)
    known = {"exists": fixed.exists, "identity_weight": IDENTITY_WEIGHT[config.man.identity_target]}
    return oracle.adaptation(batches(moving, fixed, config), *sets, held, config, at=base, **known)


def unsupervised_formula(moving: Moving, fixed: Fixed, config, **_):
    _, prototypes = subset(fixed.resting, fixed.valid)
    target = batches(moving, fixed, config)[1]
    known = {"exists": fixed.exists, "identity_weight": IDENTITY_WEIGHT[config.man.identity_target]}
    return oracle.unsupervised(target, prototypes, entries(fixed.queue), config, **known)


every_loss = pytest.mark.parametrize(
    ("loss", "formula"),
    [(adaptation, adaptation_formula), (unsupervised, unsupervised_formula)],
    ids=["adaptation", "unsupervised"],
)


def assert_terms(actual: dict, expected: dict, precision: Precision = DOUBLE) -> None:
    assert set(actual) == set(expected)
    for name, value in expected.items():
        assert_close(actual[name], value, precision)


@every_reading
@every_loss
def test_each_term_and_the_total_are_those_of_the_formula(loss, formula, reading):
    moving, fixed = drawn(0)
    terms, _ = evaluate(value_and_slope, moving, fixed, reading=reading, loss=loss)
    assert_terms(terms, formula(moving, fixed, CONFIGS[reading], at=moving))


@every_reading
@pytest.mark.parametrize("formula", [adaptation_formula, unsupervised_formula])
def test_the_terms_times_their_weights_sum_to_the_total(formula, reading):
    moving, fixed = drawn(0)
    terms, factors = formula(moving, fixed, CONFIGS[reading], at=moving), weights(CONFIGS[reading])
    total = float(terms.pop("total"))
    if CONFIGS[reading].man.identity_target == "ramp":  # its factor is another one in each step
        factors["identity_target"] = IDENTITY_WEIGHT["ramp"]
    assert sum(factors.get(name, 1.0) * float(term) for name, term in terms.items()) == pytest.approx(total)


@every_reading
@every_loss
@pytest.mark.parametrize("seed", range(2))
def test_the_total_has_the_slope_of_its_formula_in_any_direction(loss, formula, reading, seed):
    moving, fixed = drawn(seed)
    rng, step = np.random.default_rng(seed + 100), 1e-6
    _, slope = evaluate(value_and_slope, moving, fixed, reading=reading, loss=loss)
    for part in Moving._fields:
        towards = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), getattr(moving, part))

        def moved(sign, part=part, towards=towards):
            ahead = jax.tree.map(lambda leaf, way: leaf + sign * step * way, getattr(moving, part), towards)
            return formula(moving._replace(**{part: ahead}), fixed, CONFIGS[reading], at=moving)["total"]

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
            fixed = fixed._replace(valid=(fixed.valid[0], np.arange(K) == 1))
        case "a single identity":
            fixed = fixed._replace(labels=(np.zeros(B, int), np.full(B, C)))
        case "one sample a class":
            fixed = fixed._replace(reliable=(np.arange(B) % 2 == 0, np.arange(B) % 2 == 1))
        case "an empty queue":
            fixed = fixed._replace(queue=CrossBatch(np.zeros((S, M * D)), np.full(S, -1), np.array(0)))
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
    "an empty queue",
    "zero vectors",
    "everything alike",
    "nothing at all",
)


@every_reading
@every_loss
@pytest.mark.parametrize("case", CASES)
def test_no_batch_gives_a_number_that_is_not_finite_or_not_the_formula_s(case, loss, formula, reading):
    moving, fixed = gone_wrong(case)
    terms, slope = evaluate(value_and_slope, moving, fixed, reading=reading, loss=loss, precision=SINGLE)
    # Of rows that coincide, single precision finds distances of up to the root of its rounding.
    expected = formula(moving, fixed, CONFIGS[reading], at=moving)
    assert_terms(terms, expected, Precision("float32", rtol=1e-4, atol=5e-3))
    for leaf in jax.tree.leaves(slope):
        assert np.isfinite(leaf).all()
        assert np.abs(leaf).max() < 1e3


# --- what PDA compares


@pytest.mark.parametrize("pairs", ["ins_proto", "ins_ins", "proto_proto"])
def test_the_rows_of_table_5_compare_what_they_are_called_after(pairs):
    rng = np.random.default_rng(0)
    instances = [unit_normal(rng, M, B, D) for _ in range(2)]
    valid = np.arange(C) > 0, np.arange(K) > 0  # a class of each domain has lost its reliable samples
    resting, moved = ([unit_normal(rng, M, n, D) for n in (C, K)] for _ in range(2))
    config = read_as({"man.domain_pairs": pairs, "man.domain_margin": 0.3, "man.domain_inter": "hinge"})
    form = objective_form(config, None)

    def loss(source, target, resting, moved, valid):
        both = {"banks": banks(resting, valid), "moved_banks": banks(moved, valid)}
        return domain_loss(source, target, **both, form=form)

    reading = {"margin": 0.3, "inter": "hinge"}
    if pairs == "ins_proto":
        sets = (*instances, *subset(resting, valid))
        expected = domain_oracle.prototype_domain_loss(*sets, **reading)
    else:
        rows = instances if pairs == "ins_ins" else subset(moved, valid)
        once = domain_oracle.alignment_loss(*rows, **reading)
        expected = {name: 2 * half for name, half in once.items()}
    assert_terms(evaluate(loss, *instances, resting, moved, valid), expected)
