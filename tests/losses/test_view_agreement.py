import numpy as np
from hypothesis import given

from man_jax.losses.view_agreement import feature_divergence
from tests.oracles import lrimv as oracle
from tests.oracles.cases import masks, seeds
from tests.oracles.geometry import central_differences
from tests.oracles.precision import assert_close, assert_slope, both_precisions, evaluate, gradient

B, D = 5, 6


def drawn(seed: int):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(B, D)), rng.normal(size=(B, D)), rng.uniform(0.1, 2, B)


@both_precisions
def test_the_divergence_is_the_mean_of_the_rows_and_of_their_numbers(precision):
    features, others, weight = drawn(0)
    value = evaluate(feature_divergence, features, others, weight=weight, precision=precision)
    assert_close(value, oracle.divergence(features, others, weight), precision)


def test_features_that_agree_do_not_diverge():
    features, _, weight = drawn(1)
    assert abs(evaluate(feature_divergence, features, features + 3.0, weight=weight)) < 1e-12


def test_the_divergence_has_the_slope_of_its_formula_by_both():
    features, others, weight = drawn(2)
    first = central_differences(lambda rows: oracle.divergence(rows, others, weight), features)
    second = central_differences(lambda rows: oracle.divergence(features, rows, weight), others)
    slopes = gradient(feature_divergence, features, others, by=(0, 1), weight=weight)
    assert_slope(slopes[0], first)
    assert_slope(slopes[1], second)


@given(seeds, masks(B))
def test_rows_of_no_weight_change_nothing(seed, mask):
    features, others, weight = drawn(seed)
    hidden = np.where(mask[:, None], features, 9.0)
    value = evaluate(feature_divergence, hidden, others, weight=weight * mask)
    assert_close(value, oracle.divergence(features[mask], others[mask], weight[mask]))
    slope = gradient(feature_divergence, hidden, others, weight=weight * mask)
    np.testing.assert_array_equal(slope[~mask], 0)
