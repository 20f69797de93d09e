import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from man_jax.array_math import masked_mean, squared_distances, unit
from tests.oracles import geometry as oracle
from tests.oracles.cases import masks, seeds
from tests.oracles.precision import assert_close, assert_slope, both_precisions, evaluate, gradient

B, C, D = 4, 3, 5


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def weighted_unit(x, weights):
    """A sum whose slope tells every coordinate of the unit vectors apart."""
    return (unit(x) * weights).sum()


# --- Unit


@both_precisions
@pytest.mark.parametrize("length", [1.0, 1e4, 1e-4])
def test_unit_is_the_vector_over_its_length(length, precision):
    rows = length * drawn(0, B, D)
    assert_close(evaluate(unit, rows, precision=precision), oracle.unit_rows(rows), precision)


def test_unit_has_the_slope_of_its_formula():
    rows, weights = drawn(1, B, D), drawn(2, B, D)
    expected = oracle.central_differences(lambda x: (oracle.unit_rows(x) * weights).sum(), rows)
    assert_slope(gradient(weighted_unit, rows, weights), expected)


@both_precisions
def test_a_zero_vector_stays_zero_and_has_slope_zero_whatever_is_beside_it(precision):
    rows, weights = drawn(3, B, D), drawn(4, B, D)
    rows[1] = 0
    np.testing.assert_array_equal(evaluate(unit, rows, precision=precision)[1], np.zeros(D))
    slope = gradient(weighted_unit, rows, weights, precision=precision)
    np.testing.assert_array_equal(slope[1], np.zeros(D))
    alone = gradient(weighted_unit, rows[2:], weights[2:], precision=precision)
    assert_close(slope[2:], alone, precision)


# --- distances


@both_precisions
def test_squared_distances_are_those_of_all_pairs_of_rows(precision):
    x, y = drawn(5, B, D), drawn(6, C, D)
    y[0] = x[0]
    expected = [[oracle.squared_distance(a, b) for b in y] for a in x]
    assert_close(evaluate(squared_distances, x, y, precision=precision), expected, precision)


def test_squared_distances_have_the_slope_of_their_formula():
    x, y = drawn(7, B, D), drawn(8, C, D)

    def total(x, y):
        return sum(oracle.squared_distance(a, b) for a in x for b in y)

    by_x, by_y = gradient(squared_distances, x, y, by=(0, 1))
    assert_slope(by_x, oracle.central_differences(lambda moved: total(moved, y), x))
    assert_slope(by_y, oracle.central_differences(lambda moved: total(x, moved), y))


@both_precisions
@given(seeds, st.sampled_from([1.0, 1e3]))
def test_the_squared_distance_of_a_row_to_itself_is_never_below_zero(precision, seed, length):
    rows = length * drawn(seed, B, D)
    assert (evaluate(squared_distances, rows, rows, precision=precision) >= 0).all()


# --- means


@given(seeds, masks(B))
def test_a_masked_mean_is_that_of_the_subset_or_zero(seed, mask):
    values = drawn(seed, B)
    hidden = np.where(mask, values, np.inf)
    expected = sum(values[mask]) / mask.sum() if mask.any() else 0.0
    assert_close(evaluate(masked_mean, hidden, mask), expected)
    slope = gradient(masked_mean, hidden, mask)
    np.testing.assert_allclose(slope, mask / max(mask.sum(), 1), atol=1e-12)
