import flax.linen as nn
import jax
import numpy as np
import pytest

from man_jax.networks.batch_norm import BatchNorm
from tests.oracles import networks as oracle
from tests.oracles.geometry import central_differences
from tests.oracles.precision import SINGLE, assert_close, assert_slope, both_precisions, evaluate, gradient


def _normed(variables, x, *, train):
    return BatchNorm(use_running_average=not train).apply(variables, x, mutable=["batch_stats"])


@pytest.fixture(scope="module")
def norm():
    rng = np.random.default_rng(2)
    drawn = {name: rng.uniform(0.5, 1.5, 3) for name in ("scale", "bias", "mean", "var")}
    variables = {
        "params": {"scale": drawn["scale"], "bias": drawn["bias"]},
        "batch_stats": {"mean": drawn["mean"], "var": drawn["var"]},
    }
    return variables, rng.normal(1.0, 2.0, size=(4, 2, 3, 3))


@both_precisions
def test_training_normalises_by_the_mean_and_biased_variance_of_the_batch(norm, precision):
    variables, x = norm
    actual, _ = evaluate(_normed, variables, x, train=True, precision=precision)
    expected = oracle.normalise(x, *oracle.batch_moments(x), **variables["params"])
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_evaluation_normalises_by_the_running_moments(norm):
    variables, x = norm
    actual, after = evaluate(_normed, variables, x, train=False)
    running = variables["batch_stats"]
    assert_close(actual, oracle.normalise(x, running["mean"], running["var"], **variables["params"]))
    jax.tree.map(np.testing.assert_array_equal, after["batch_stats"], running)


def test_running_moments_keep_nine_tenths(norm):
    variables, x = norm
    _, after = evaluate(_normed, variables, x, train=True)
    mean, variance = oracle.batch_moments(x)
    before = variables["batch_stats"]
    assert_close(after["batch_stats"]["mean"], 0.9 * before["mean"] + 0.1 * mean, SINGLE)
    assert_close(after["batch_stats"]["var"], 0.9 * before["var"] + 0.1 * variance, SINGLE)


def _weighted(x, scale, bias, weights):
    """A number whose gradient with respect to the result is `weights`."""
    variables = {"params": {"scale": scale, "bias": bias}, "batch_stats": {"mean": scale, "var": scale}}
    return (_normed(variables, x, train=True)[0] * weights).sum()


def test_the_gradients_are_the_slopes_of_the_formula(norm):
    variables, x = norm
    scale, bias = variables["params"]["scale"], variables["params"]["bias"]
    weights = np.random.default_rng(3).normal(size=x.shape)

    def value(x, scale, bias):
        return (oracle.normalise(x, *oracle.batch_moments(x), scale=scale, bias=bias) * weights).sum()

    by_x, by_scale, by_bias = gradient(_weighted, x, scale, bias, weights, by=(0, 1, 2))
    assert_slope(by_x, central_differences(lambda moved: value(moved, scale, bias), x))
    assert_slope(by_scale, central_differences(lambda moved: value(x, moved, bias), scale))
    assert_slope(by_bias, central_differences(lambda moved: value(x, scale, moved), bias))


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_variables_and_results_have_the_names_and_types_of_flax_s(use_bias, dtype):
    x = np.random.default_rng(4).normal(size=(4, 3)).astype(np.float32)
    ours, theirs = (
        jax.eval_shape(
            module(use_running_average=False, use_bias=use_bias, dtype=dtype).init_with_output,
            jax.random.key(0),
            x,
        )
        for module in (BatchNorm, nn.BatchNorm)
    )
    assert ours == theirs
