import numpy as np

from man_jax.losses.divergence import jensen_shannon
from tests.oracles import divergence as oracle
from tests.oracles.geometry import central_differences
from tests.oracles.precision import assert_close, assert_slope, both_precisions, evaluate, gradient

B, D = 5, 4


def drawn(seed: int):
    rng = np.random.default_rng(seed)
    return 2 * rng.normal(size=(B, D)), 2 * rng.normal(size=(B, D)), rng.uniform(0, 2, B)


@both_precisions
def test_the_divergences_of_the_rows_are_summed_by_weight(precision):
    x, y, weight = drawn(0)
    value = evaluate(jensen_shannon, x, y, weight=weight, precision=precision)
    assert_close(value, oracle.jensen_shannon(x, y, weight), precision)


def test_all_rows_count_alike_unless_told_and_equal_features_do_not_diverge():
    x, y, _ = drawn(1)
    assert_close(evaluate(jensen_shannon, x, y), oracle.jensen_shannon(x, y, np.ones(B)))
    assert abs(evaluate(jensen_shannon, x, x + 3.0)) < 1e-12


def test_the_slope_by_both_features_is_that_of_the_formula():
    x, y, weight = drawn(2)
    expected = central_differences(lambda z: oracle.jensen_shannon(z, y, weight), x)
    assert_slope(gradient(jensen_shannon, x, y, weight=weight), expected)
    expected = central_differences(lambda z: oracle.jensen_shannon(x, z, weight), y)
    assert_slope(gradient(jensen_shannon, x, y, by=1, weight=weight), expected)
