from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from man_jax.losses.modality import modality_centres, modality_margin_loss
from tests.oracles import modality as oracle
from tests.oracles.cases import masks, seeds, unit_groups
from tests.oracles.geometry import central_differences, mean
from tests.oracles.precision import SINGLE, assert_close, assert_slope, both_precisions, evaluate, gradient

M, B, C, K, D = 3, 3, 4, 2, 4
DISTANCES = ["squared", "cosine"]
REDUCTIONS = ["sum", "max"]
PAIRINGS = ["different", "equal"]
ALL: dict[str, Any] = {"source_valid": np.ones(C, bool), "target_valid": np.ones(K, bool)}
NONE: dict[str, Any] = {"source_valid": np.zeros(C, bool), "target_valid": np.zeros(K, bool)}

forms = pytest.mark.parametrize(("distance", "reduction"), [(d, r) for d in DISTANCES for r in REDUCTIONS])

pairings = pytest.mark.parametrize("pairing", PAIRINGS)


def batch(seed: int) -> tuple[np.ndarray, ...]:
    """Source and target instances, source and target prototypes."""
    rng = np.random.default_rng(seed)
    return tuple(unit_groups(rng, M, size, D) for size in (B, B, C, K))


def slopes(*sets, **settings):
    """By source, by target, by source prototypes, by target prototypes."""
    return gradient(modality_margin_loss, *sets, by=(0, 1, 2, 3), **{**ALL, **settings})


# --- centres (Eq. 17)


@given(seeds, masks(C))
def test_a_centre_is_the_mean_of_the_valid_rows(seed, valid):
    rows = batch(seed)[2]
    centres = evaluate(modality_centres, rows, valid=valid)
    expected = [mean(own[valid]) if valid.any() else np.zeros(D) for own in rows]
    assert_close(centres, expected)


def test_without_a_mask_every_row_counts():
    rows = batch(0)[0]
    assert_close(evaluate(modality_centres, rows), [mean(own) for own in rows])


# --- MMA (Eq. 18-20)


@both_precisions
@forms
@pairings
def test_mma_sums_its_six_distances(distance, reduction, pairing, precision):
    sets, settings = batch(1), {"distance": distance, "reduction": reduction, "pairing": pairing}
    value = evaluate(modality_margin_loss, *sets, precision=precision, **ALL, **settings)
    assert_close(value, oracle.modality_margin_loss(*sets, **settings), precision)


@forms
@pairings
def test_mma_has_the_slope_of_its_formula(distance, reduction, pairing):
    source, target, *prototypes = sets = batch(2)
    settings = {"distance": distance, "reduction": reduction, "pairing": pairing}

    def formula(source, target):
        return oracle.modality_margin_loss(source, target, *prototypes, **settings)

    by_source, by_target, *_ = slopes(*sets, **settings)
    assert_slope(by_source, central_differences(lambda moved: formula(moved, target), source))
    assert_slope(by_target, central_differences(lambda moved: formula(source, moved), target))


@forms
@pairings
@pytest.mark.parametrize("num_modalities", [1, 2])
def test_fewer_modalities_have_fewer_pairs(num_modalities, distance, reduction, pairing):
    sets = [rows[:num_modalities] for rows in batch(6)]
    settings = {"distance": distance, "reduction": reduction, "pairing": pairing}
    value = evaluate(modality_margin_loss, *sets, **ALL, **settings)
    assert_close(value, oracle.modality_margin_loss(*sets, **settings))


@forms
@pairings
def test_mma_has_the_slope_of_the_valid_prototypes_alone(distance, reduction, pairing):
    source, target, *prototypes = batch(7)
    valid = {"source_valid": np.arange(C) % 2 > 0, "target_valid": np.arange(K) > 0}
    masks_ = list(valid.values())
    subset = [rows[:, there] for rows, there in zip(prototypes, masks_, strict=True)]
    hidden = [np.where(there[:, None], rows, 50.0) for rows, there in zip(prototypes, masks_, strict=True)]
    settings = {"distance": distance, "reduction": reduction, "pairing": pairing}

    def formula(source, target):
        return oracle.modality_margin_loss(source, target, *subset, **settings)

    by_source, by_target, *_ = slopes(source, target, *hidden, **valid, **settings)
    assert_slope(by_source, central_differences(lambda moved: formula(moved, target), source))
    assert_slope(by_target, central_differences(lambda moved: formula(source, moved), target))


@given(
    seeds,
    masks(C),
    masks(K),
    st.sampled_from(DISTANCES),
    st.sampled_from(REDUCTIONS),
    st.sampled_from(PAIRINGS),
)
def test_invalid_prototypes_mean_the_subset(seed, source_valid, target_valid, distance, reduction, pairing):
    source, target, source_prototypes, target_prototypes = batch(seed)
    sets = (
        source,
        target,
        source_prototypes * source_valid[:, None],
        target_prototypes * target_valid[:, None],
    )
    settings = {"distance": distance, "reduction": reduction, "pairing": pairing}
    value = evaluate(
        modality_margin_loss, *sets, source_valid=source_valid, target_valid=target_valid, **settings
    )
    subset = source, target, source_prototypes[:, source_valid], target_prototypes[:, target_valid]
    assert_close(value, oracle.modality_margin_loss(*subset, **settings))


@given(seeds, st.sampled_from(DISTANCES), st.sampled_from(REDUCTIONS), st.sampled_from(PAIRINGS))
def test_mma_does_not_depend_on_the_order_of_batch_classes_or_modalities(seed, distance, reduction, pairing):
    sets, rng = batch(seed), np.random.default_rng(seed)
    shuffled = [rows[:, rng.permutation(rows.shape[1])] for rows in sets]
    modalities = rng.permutation(M)
    settings = dict(distance=distance, reduction=reduction, pairing=pairing, **ALL)
    assert_close(
        evaluate(modality_margin_loss, *[rows[modalities] for rows in shuffled], **settings),
        evaluate(modality_margin_loss, *sets, **settings),
    )


def test_centres_exactly_a_margin_apart_cost_nothing():
    apart = np.sqrt(0.25) * np.eye(M, D)  # ‖a − b‖² = 0.5 for each pair of modalities
    sets = [np.repeat(apart[:, None], size, axis=1) for size in (B, B, C, K)]
    assert abs(evaluate(modality_margin_loss, *sets, distance="squared", reduction="sum", **ALL)) < 1e-12


def test_modalities_that_coincide_cost_their_margin_in_each_of_24_pairs():
    sets = [np.tile(np.eye(1, D), (M, size, 1)) for size in (B, B, C, K)]
    assert_close(evaluate(modality_margin_loss, *sets, distance="squared", reduction="sum", **ALL), 24 * 0.5)


def test_the_margin_counts():
    sets = batch(5)
    value = evaluate(modality_margin_loss, *sets, margin=0.1, **ALL)
    assert_close(value, oracle.modality_margin_loss(*sets, margin=0.1))


@forms
def test_prototypes_are_constants(distance, reduction):
    for slope in slopes(*batch(3), distance=distance, reduction=reduction)[2:]:
        np.testing.assert_array_equal(slope, np.zeros_like(slope))


def degenerate(case: str) -> list[np.ndarray]:
    """Sets with all centres zero, or only that of R; or as far apart as the margin says, where |·| has no slope."""
    sets = [np.zeros((M, size, D)) for size in (B, B, C, K)]
    for rows in sets:
        if case == "cancelling":
            rows[1:], rows[0, 0, 0], rows[0, 1, 0] = 0.5, 1.0, -1.0
        if case == "at the margin":
            rows[:] = 0.5 * np.eye(M, D)[:, None]
    return sets


@forms
@pairings
@pytest.mark.parametrize("case", ["zero", "cancelling", "at the margin"])
def test_degenerate_centres_have_the_formula_s_value_and_a_modest_slope(case, distance, reduction, pairing):
    sets, reading = degenerate(case), {"distance": distance, "reduction": reduction, "pairing": pairing}
    settings = dict(precision=SINGLE, **reading, **ALL)
    expected = oracle.modality_margin_loss(*sets, **reading)
    assert_close(evaluate(modality_margin_loss, *sets, **settings), expected, SINGLE)
    for slope in slopes(*sets, **settings):
        assert np.abs(slope).max() < 100  # and hence not NaN


@forms
@pairings
def test_without_valid_prototypes_the_instances_remain_and_stay_finite(distance, reduction, pairing):
    source, target, source_prototypes, target_prototypes = batch(4)
    sets = source, target, 0 * source_prototypes, 0 * target_prototypes
    settings = {"distance": distance, "reduction": reduction, "pairing": pairing}
    value = evaluate(modality_margin_loss, *sets, **settings, **NONE)
    expected = oracle.modality_margin_loss(source, target, sets[2][:, :0], sets[3][:, :0], **settings)
    assert_close(value, expected)
    assert all(np.isfinite(slope).all() for slope in slopes(*sets, precision=SINGLE, **settings, **NONE))
