from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from man_jax.losses.domain import (
    maximum_mean_discrepancy,
    prototype_domain_loss,
    same_kind_domain_loss,
)
from tests.oracles import domain as oracle
from tests.oracles.cases import masks, seeds, unit_groups, unit_normal
from tests.oracles.geometry import central_differences, unit
from tests.oracles.precision import (
    DOUBLE,
    SINGLE,
    assert_close,
    assert_slope,
    both_precisions,
    evaluate,
    gradient,
)

M, B, C, K, D = 3, 3, 4, 2, 3
KERNELS = ["fixed", "multi"]
INTERS = ["margin", "plain", "hinge"]
READINGS = [*((inter, "fixed") for inter in INTERS), ("margin", "multi")]
"""Every form of the inter term, and the other kernel once."""
MARGIN = 0.5
ALL: dict[str, Any] = {"source_valid": np.ones(C, bool), "target_valid": np.ones(K, bool)}
NONE: dict[str, Any] = {"source_valid": np.zeros(C, bool), "target_valid": np.zeros(K, bool)}


def two_sets(seed: int):
    rng = np.random.default_rng(seed)
    return unit_groups(rng, B, D), unit_groups(rng, C, D)


def batch(seed: int) -> tuple[np.ndarray, ...]:
    """Source and target instances, source and target prototypes."""
    rng = np.random.default_rng(seed)
    return tuple(unit_groups(rng, M, size, D) for size in (B, B, C, K))


def loss(*sets, inter="margin", kernel="fixed", **settings):
    """With every switch spelled out, so that equal settings share one compilation."""
    return evaluate(prototype_domain_loss, *sets, inter=inter, kernel=kernel, **{**ALL, **settings})


def slopes(*sets, inter="margin", kernel="fixed", **settings):
    """By source, by target, by source prototypes, by target prototypes."""
    settings = {**ALL, **settings}
    return gradient(prototype_domain_loss, *sets, by=(0, 1, 2, 3), inter=inter, kernel=kernel, **settings)


def assert_same_loss(actual, expected, *precision):
    assert set(actual) == {"intra", "inter"}
    for term in expected:
        assert_close(actual[term], expected[term], *precision)


# --- MMD (Eq. 12, 13)


@both_precisions
@pytest.mark.parametrize("kernel", KERNELS)
def test_mmd_is_the_mean_over_all_pairs(kernel, precision):
    x, y = two_sets(0)
    value = evaluate(maximum_mean_discrepancy, x, y, kernel=kernel, precision=precision)
    assert_close(value, oracle.maximum_mean_discrepancy(x, y, kernel), precision)


@pytest.mark.parametrize("kernel", KERNELS)
def test_mmd_has_the_slope_of_a_constant_bandwidth(kernel):
    x, y = two_sets(1)
    slope = gradient(maximum_mean_discrepancy, x, y, kernel=kernel)
    expected = central_differences(lambda z: oracle.maximum_mean_discrepancy(z, y, kernel, at=(x, y)), x)
    assert_slope(slope, expected)


@given(seeds, masks(B), masks(C), st.sampled_from(KERNELS))
def test_invalid_rows_of_either_set_mean_the_subset(seed, x_valid, y_valid, kernel):
    x, y = two_sets(seed)
    hidden = np.where(x_valid[:, None], x, 50.0), np.where(y_valid[:, None], y, -50.0)
    value = evaluate(maximum_mean_discrepancy, *hidden, x_valid=x_valid, y_valid=y_valid, kernel=kernel)
    assert_close(value, oracle.maximum_mean_discrepancy(x[x_valid], y[y_valid], kernel))


@both_precisions
@pytest.mark.parametrize("kernel", KERNELS)
def test_invalid_rows_have_no_slope_and_the_others_that_of_the_subset(kernel, precision):
    x, y = two_sets(11)
    x_valid, y_valid = np.arange(B) != 1, np.arange(C) % 3 != 0
    hidden = np.where(x_valid[:, None], x, 50.0), np.where(y_valid[:, None], y, -50.0)
    settings = {"x_valid": x_valid, "y_valid": y_valid, "kernel": kernel, "precision": precision}
    by_x, by_y = gradient(maximum_mean_discrepancy, *hidden, by=(0, 1), **settings)
    sets = subset_x, subset_y = x[x_valid], y[y_valid]
    expected_x = central_differences(
        lambda moved: oracle.maximum_mean_discrepancy(moved, subset_y, kernel, at=sets), subset_x
    )
    expected_y = central_differences(
        lambda moved: oracle.maximum_mean_discrepancy(subset_x, moved, kernel, at=sets), subset_y
    )
    for slope, valid, expected in ((by_x, x_valid, expected_x), (by_y, y_valid, expected_y)):
        np.testing.assert_array_equal(slope[~valid], 0)
        np.testing.assert_allclose(slope[valid], expected, rtol=1e-3, atol=1e-4)


def test_rows_that_are_nearly_the_same_have_the_smallest_bandwidth():
    middle = unit_normal(np.random.default_rng(12), 1, D)
    x, y = (
        middle + 2e-3 * np.random.default_rng(seed).normal(size=(size, D)) for seed, size in ((0, B), (1, C))
    )
    assert oracle.mean_squared_distance(x, y) < oracle.SMALLEST_BANDWIDTH
    value = evaluate(maximum_mean_discrepancy, x, y, kernel="multi")
    assert_close(value, oracle.maximum_mean_discrepancy(x, y, "multi"))


ROUNDING = {"float32": 2e-6, "float64": 1e-12}
"""What is left of a difference of means of kernel values, which are at most 1."""


@both_precisions
@given(seeds, st.sampled_from(KERNELS))
def test_mmd_is_never_negative(precision, seed, kernel):
    value = evaluate(maximum_mean_discrepancy, *two_sets(seed), kernel=kernel, precision=precision)
    assert value >= -ROUNDING[precision.dtype]


@both_precisions
@given(seeds, st.sampled_from(KERNELS))
def test_mmd_of_a_set_with_itself_is_zero(precision, seed, kernel):
    x, _ = two_sets(seed)
    shuffled = np.random.default_rng(seed).permutation(x)
    value = evaluate(maximum_mean_discrepancy, x, shuffled, kernel=kernel, precision=precision)
    assert abs(value) < ROUNDING[precision.dtype]


@given(seeds, st.sampled_from(KERNELS))
def test_mmd_is_symmetric(seed, kernel):
    x, y = two_sets(seed)
    forth = evaluate(maximum_mean_discrepancy, x, y, kernel=kernel)
    assert_close(evaluate(maximum_mean_discrepancy, y, x, kernel=kernel), forth)


@both_precisions
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("vector", [np.zeros(D), unit(np.arange(1.0, D + 1))], ids=["zero", "unit"])
def test_sets_of_one_and_the_same_vector_have_value_and_slope_zero(vector, kernel, precision):
    x, y = np.tile(vector, (B, 1)), np.tile(vector, (C, 1))
    value = evaluate(maximum_mean_discrepancy, x, y, kernel=kernel, precision=precision)
    slope = gradient(maximum_mean_discrepancy, x, y, kernel=kernel, precision=precision)
    np.testing.assert_allclose(value, 0, atol=precision.atol)
    np.testing.assert_allclose(slope, np.zeros_like(x), atol=1e-2)


@both_precisions
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_set_without_valid_rows_gives_zero_and_no_slope(kernel, precision):
    x, y = two_sets(2)
    settings = {
        "y_valid": np.zeros(C, bool),
        "x_valid": np.ones(B, bool),
        "kernel": kernel,
        "precision": precision,
    }
    assert evaluate(maximum_mean_discrepancy, x, y, **settings) == 0
    np.testing.assert_array_equal(gradient(maximum_mean_discrepancy, x, y, **settings), np.zeros_like(x))


# --- PDA (Eq. 14-16)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("inter", "precision"), [*((inter, DOUBLE) for inter in INTERS), ("margin", SINGLE)], ids=str
)
def test_pda_sums_its_pairs_of_modalities(inter, kernel, precision):
    sets, settings = batch(3), {"inter": inter, "kernel": kernel}
    assert_same_loss(
        loss(*sets, precision=precision, **settings),
        oracle.prototype_domain_loss(*sets, **settings),
        precision,
    )


def test_the_cases_lie_on_both_sides_of_the_margin():
    source, _, _, prototypes = batch(3)
    apart = [oracle.maximum_mean_discrepancy(source[i], prototypes[j]) for i, j in np.ndindex(M, M) if i != j]
    assert min(apart) < MARGIN < max(apart)


@pytest.mark.parametrize(("inter", "kernel"), READINGS)
def test_pda_has_the_slope_of_its_formula(inter, kernel):
    source, target, *prototypes = sets = batch(4)
    settings = {"inter": inter, "kernel": kernel}

    def formula(source, target):
        return sum(
            oracle.prototype_domain_loss(
                source, target, *prototypes, **settings, at=(sets[0], sets[1])
            ).values()
        )

    by_source, by_target, *_ = slopes(*sets, **settings)
    assert_slope(by_source, central_differences(lambda moved: formula(moved, target), source))
    assert_slope(by_target, central_differences(lambda moved: formula(source, moved), target))


@pytest.mark.parametrize("num_modalities", [1, 2])
def test_fewer_modalities_have_fewer_pairs(num_modalities):
    sets = [rows[:num_modalities] for rows in batch(13)]
    assert_same_loss(loss(*sets), oracle.prototype_domain_loss(*sets))


@pytest.mark.parametrize(("inter", "kernel"), [("margin", "fixed"), ("hinge", "multi")])
def test_pda_has_the_slope_of_the_valid_prototypes_alone(inter, kernel):
    source, target, source_prototypes, target_prototypes = sets = batch(14)
    settings = {"inter": inter, "kernel": kernel}
    valid = {"source_valid": np.arange(C) % 2 > 0, "target_valid": np.arange(K) > 0}
    subset = source_prototypes[:, valid["source_valid"]], target_prototypes[:, valid["target_valid"]]

    def formula(source, target):
        halves = oracle.prototype_domain_loss(source, target, *subset, **settings, at=(sets[0], sets[1]))
        return sum(halves.values())

    hidden = [
        np.where(there[:, None], rows, 50.0) for rows, there in zip(sets[2:], valid.values(), strict=True)
    ]
    by_source, by_target, *_ = slopes(source, target, *hidden, **settings, **valid)
    assert_slope(by_source, central_differences(lambda moved: formula(moved, target), source))
    assert_slope(by_target, central_differences(lambda moved: formula(source, moved), target))


@given(seeds, masks(C), masks(K), st.sampled_from(INTERS))
def test_invalid_prototypes_mean_the_subset(seed, source_valid, target_valid, inter):
    source, target, source_prototypes, target_prototypes = batch(seed)
    sets = (
        source,
        target,
        source_prototypes * source_valid[:, None],
        target_prototypes * target_valid[:, None],
    )
    value = loss(*sets, source_valid=source_valid, target_valid=target_valid, inter=inter)
    subset = source, target, source_prototypes[:, source_valid], target_prototypes[:, target_valid]
    assert_same_loss(value, oracle.prototype_domain_loss(*subset, inter=inter))


@pytest.mark.parametrize("inter", INTERS)
def test_no_valid_prototype_at_all_gives_zero_and_no_slope(inter):
    sets = batch(5)
    value = loss(*sets, inter=inter, **NONE)
    assert (value["intra"], value["inter"]) == (0, 0)
    for slope in slopes(*sets, inter=inter, **NONE):
        np.testing.assert_array_equal(slope, np.zeros_like(slope))


@given(seeds, st.sampled_from(READINGS))
def test_pda_does_not_depend_on_the_order_of_batch_classes_or_modalities(seed, reading):
    sets, settings = batch(seed), dict(zip(("inter", "kernel"), reading, strict=True))
    rng = np.random.default_rng(seed)
    shuffled = [rows[:, rng.permutation(rows.shape[1])] for rows in sets]
    modalities = rng.permutation(M)
    assert_same_loss(loss(*[rows[modalities] for rows in shuffled], **settings), loss(*sets, **settings))


@given(seeds)
def test_pda_treats_both_domains_alike(seed):
    rng = np.random.default_rng(seed)
    source, target, source_prototypes, target_prototypes = (
        unit_groups(rng, M, size, D) for size in (B, B, C, C)
    )
    both: dict[str, Any] = {"target_valid": np.ones(C, bool)}
    there = loss(source, target, source_prototypes, target_prototypes, **both)
    back = loss(target, source, target_prototypes, source_prototypes, **both)
    assert_same_loss(back, there)


@pytest.mark.parametrize("kernel", KERNELS)
def test_prototypes_are_constants(kernel):
    for slope in slopes(*batch(6), kernel=kernel)[2:]:
        np.testing.assert_array_equal(slope, np.zeros_like(slope))


@pytest.mark.parametrize(
    ("inter", "kernel", "margin"),
    [*(("margin", kernel, MARGIN) for kernel in KERNELS), ("margin", "fixed", 0.0), ("hinge", "fixed", 0.0)],
)
def test_zero_instances_have_a_finite_slope_at_the_margin_too(inter, kernel, margin):
    zeros = [np.zeros((M, size, D)) for size in (B, B, C, K)]
    for slope in slopes(*zeros, inter=inter, kernel=kernel, margin=margin, precision=SINGLE):
        assert np.isfinite(slope).all()


@pytest.mark.parametrize("inter", ["margin", "hinge"])
def test_the_margin_counts(inter):
    sets = batch(8)
    assert_same_loss(
        loss(*sets, margin=0.1, inter=inter), oracle.prototype_domain_loss(*sets, margin=0.1, inter=inter)
    )


def test_instances_that_are_the_prototypes_have_no_intra_loss():
    shared = unit_normal(np.random.default_rng(7), M, B, D)
    valid: dict[str, Any] = {"source_valid": np.ones(B, bool), "target_valid": np.ones(B, bool)}
    value = loss(shared, shared, shared, shared, **valid)
    assert abs(value["intra"]) < 1e-12


# --- Ins-Ins and Proto-Proto (Table 5)


def doubled(halves: dict[str, float]) -> dict[str, float]:
    return {name: 2 * half for name, half in halves.items()}


@pytest.mark.parametrize(
    ("inter", "kernel", "margin"),
    [*((inter, "fixed", MARGIN) for inter in INTERS), ("margin", "multi", 0.1), ("hinge", "fixed", 0.1)],
)
def test_one_kind_of_rows_on_both_sides_counts_each_half_of_eq_16_twice(inter, kernel, margin):
    source, target, *_ = batch(9)
    settings = {"inter": inter, "kernel": kernel, "margin": margin}
    value = evaluate(same_kind_domain_loss, source, target, **settings)
    assert_same_loss(value, doubled(oracle.alignment_loss(source, target, **settings)))


@pytest.mark.parametrize(("inter", "kernel"), READINGS)
def test_one_kind_of_rows_passes_its_slope_to_both_domains(inter, kernel):
    sets, settings = batch(10)[:2], {"inter": inter, "kernel": kernel, "margin": 0.1}
    source, target = sets

    def formula(source, target):
        return 2 * sum(oracle.alignment_loss(source, target, at=sets, **settings).values())

    by_source, by_target = gradient(same_kind_domain_loss, *sets, by=(0, 1), **settings)
    assert_slope(by_source, central_differences(lambda moved: formula(moved, target), source))
    assert_slope(by_target, central_differences(lambda moved: formula(source, moved), target))


@given(seeds, st.sampled_from(READINGS))
def test_one_kind_of_rows_has_no_order_of_rows_modalities_or_domains(seed, reading):
    source, target = batch(seed)[2:]
    settings = dict(zip(("inter", "kernel"), reading, strict=True))
    rng = np.random.default_rng(seed)
    modalities = rng.permutation(M)
    shuffled = [rows[modalities][:, rng.permutation(rows.shape[1])] for rows in (target, source)]
    expected = evaluate(same_kind_domain_loss, source, target, **settings)
    assert_same_loss(evaluate(same_kind_domain_loss, *shuffled, **settings), expected)


@given(seeds, masks(C), masks(K))
def test_invalid_prototypes_of_either_domain_mean_the_subset(seed, source_valid, target_valid):
    _, _, source, target = batch(seed)
    masked = source * source_valid[:, None], target * target_valid[:, None]
    value = evaluate(same_kind_domain_loss, *masked, source_valid=source_valid, target_valid=target_valid)
    subset = source[:, source_valid], target[:, target_valid]
    assert_same_loss(value, doubled(oracle.alignment_loss(*subset)))
