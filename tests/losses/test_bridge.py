import numpy as np
import pytest

from man_jax.losses.bridge import feature_bridge, mixed_cross_entropy, share_diversity
from tests.oracles import bridge as oracle
from tests.oracles.geometry import central_differences
from tests.oracles.precision import assert_close, assert_slope, both_precisions, evaluate, gradient

B, C, D = 6, 5, 3
EXISTS = np.array([True, True, False, True, True])
SOURCE, TARGET = np.array([0, 0, 1, 1, 0, 1]), np.array([3, 3, 4, 4, 4, 3])


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(0)
    share = rng.uniform(0.1, 0.9, B)
    return {
        "logits": 2 * rng.normal(size=(B, C)),
        "features": tuple(rng.normal(size=(3, B, D))),
        "shares": np.stack([share, 1 - share], axis=1),
    }


@both_precisions
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_mixture_learns_from_both_labels_in_its_shares(drawn, smoothing, precision):
    logits, share = drawn["logits"], drawn["shares"][:, 0]
    value = evaluate(
        mixed_cross_entropy,
        logits,
        SOURCE,
        TARGET,
        share,
        smoothing=smoothing,
        exists=EXISTS,
        precision=precision,
    )
    assert_close(
        value, oracle.mixed_cross_entropy(logits, SOURCE, TARGET, share, smoothing, EXISTS), precision
    )


def test_the_mixed_cross_entropy_has_the_slope_of_its_formula_and_none_by_the_shares(drawn):
    logits, share = drawn["logits"], drawn["shares"][:, 0]
    expected = central_differences(
        lambda z: oracle.mixed_cross_entropy(z, SOURCE, TARGET, share, 0.1, EXISTS).sum(), logits
    )
    found = gradient(mixed_cross_entropy, logits, SOURCE, TARGET, share, exists=EXISTS)
    assert_slope(found, expected)
    by_share = gradient(mixed_cross_entropy, logits, SOURCE, TARGET, share, by=3, exists=EXISTS)
    np.testing.assert_array_equal(by_share, np.zeros(B))


@both_precisions
def test_the_bridge_is_the_distance_to_both_features_in_the_mixture_s_shares(drawn, precision):
    arrays = *drawn["features"], drawn["shares"]
    assert_close(
        evaluate(feature_bridge, *arrays, precision=precision), oracle.feature_bridge(*arrays), precision
    )


@pytest.mark.parametrize("by", [0, 1, 2, 3])
def test_the_bridge_has_a_slope_by_all_that_it_reads(drawn, by):
    arrays = [*drawn["features"], drawn["shares"]]

    def value(x):
        return oracle.feature_bridge(*arrays[:by], x, *arrays[by + 1 :])

    assert_slope(gradient(feature_bridge, *arrays, by=by), central_differences(value, arrays[by]))


@both_precisions
def test_diversity_is_the_spread_of_the_shares_over_the_batch(drawn, precision):
    shares = drawn["shares"]
    assert_close(
        evaluate(share_diversity, shares, precision=precision), oracle.share_diversity(shares), precision
    )
    assert_slope(gradient(share_diversity, shares), central_differences(oracle.share_diversity, shares))


def test_where_a_root_is_of_zero_the_slope_is_finite():
    same = np.ones((B, D))
    shares = np.full((B, 2), 0.5)
    assert np.isfinite(gradient(feature_bridge, same, same, same, shares, by=2)).all()
    assert np.isfinite(gradient(share_diversity, shares)).all()
    assert evaluate(share_diversity, shares) == pytest.approx(-2e-6)
