import numpy as np
from hypothesis import given

from man_jax.losses.reweighted import reweighted_mean, reweighted_triplet
from tests.oracles import subdomain as oracle
from tests.oracles.cases import masks, seeds
from tests.oracles.geometry import central_differences
from tests.oracles.precision import assert_close, assert_slope, both_precisions, evaluate, gradient

B, D = 8, 4
LABELS = np.array([0, 0, 1, 1, -1, 2, 2, 0])


def drawn(seed: int):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(B, D)), rng.uniform(0.1, 3, B)


@both_precisions
def test_each_triplet_is_scaled_by_the_weights_of_its_three_samples(precision):
    features, weight = drawn(0)
    found = evaluate(reweighted_triplet, features, LABELS, weight=weight, margin=0.3, precision=precision)
    assert_close(found, oracle.reweighted_triplet(features, LABELS, weight, 0.3), precision)


def test_the_triplet_has_the_slope_of_its_formula():
    features, weight = drawn(1)
    expected = central_differences(lambda f: oracle.reweighted_triplet(f, LABELS, weight, 0.3), features)
    assert np.abs(expected).max() > 1e-3
    assert_slope(gradient(reweighted_triplet, features, LABELS, weight=weight, margin=0.3), expected)


@given(seeds, masks(B))
def test_rows_of_weight_0_are_as_if_they_were_not_there(seed, mask):
    features, weight = drawn(seed)
    hidden = np.where(mask[:, None], features, 50.0)
    found = evaluate(reweighted_triplet, hidden, LABELS, weight=weight * mask, margin=0.3)
    assert_close(found, oracle.reweighted_triplet(features[mask], LABELS[mask], weight[mask], 0.3))
    slope = gradient(reweighted_triplet, hidden, LABELS, weight=weight * mask, margin=0.3)
    np.testing.assert_array_equal(slope[~mask], 0)


@given(seeds, masks(B))
def test_values_are_multiplied_by_their_weights_and_averaged_over_the_rows_that_have_one(seed, mask):
    features, weight = drawn(seed)
    values = np.where(mask, features[:, 0], np.inf)
    found = evaluate(reweighted_mean, values, weight * mask)
    assert_close(found, oracle.reweighted_mean(values, weight * mask))


def test_twice_the_weights_are_twice_the_loss():
    features, weight = drawn(2)
    once, twice = (
        evaluate(reweighted_triplet, features, LABELS, weight=scale * weight, margin=0.3) for scale in (1, 2)
    )
    assert_close(twice, 2 * once)
