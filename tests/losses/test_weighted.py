import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from man_jax.array_math import masked_mean
from man_jax.losses.weighted import weighted_mean
from tests.oracles.cases import masks, seeds
from tests.oracles.precision import SINGLE, assert_close, assert_slope, evaluate, gradient

B = 6


def drawn(seed: int):
    rng = np.random.default_rng(seed)
    return rng.normal(size=B), rng.uniform(0.1, 2, B)


@given(seeds)
def test_each_value_counts_by_its_weight(seed):
    x, weight = drawn(seed)
    expected = sum(w * v for w, v in zip(weight, x, strict=True)) / sum(weight)
    assert_close(evaluate(weighted_mean, x, weight), expected)
    assert_slope(gradient(weighted_mean, x, weight), weight / sum(weight))


@given(seeds, masks(B))
def test_weights_of_zero_and_one_are_a_mask(seed, mask):
    x, _ = drawn(seed)
    assert_close(evaluate(weighted_mean, x, mask.astype(float)), evaluate(masked_mean, x, mask))


@given(seeds, st.sampled_from([1e-3, 7.0]))
def test_only_the_ratios_of_the_weights_count(seed, factor):
    x, weight = drawn(seed)
    assert_close(evaluate(weighted_mean, x, factor * weight), evaluate(weighted_mean, x, weight))


def test_without_weight_value_and_slope_are_zero_even_of_infinite_values():
    x, weight = np.full(B, np.inf), np.zeros(B)
    assert evaluate(weighted_mean, x, weight, precision=SINGLE) == 0
    np.testing.assert_array_equal(gradient(weighted_mean, x, weight, precision=SINGLE), np.zeros(B))


def test_an_infinite_value_of_no_weight_changes_nothing():
    x, weight = drawn(0)
    x[2], weight[2] = np.inf, 0
    kept = np.arange(B) != 2
    assert_close(evaluate(weighted_mean, x, weight), np.average(x[kept], weights=weight[kept]))
