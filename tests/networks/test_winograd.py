import jax
import jax.numpy as jnp
import numpy as np
import pytest

from man_jax.costs.arithmetic import count_flops
from man_jax.networks.convolution import TILED_NUMBERS, convolve_lax, convolve_taps
from man_jax.networks.winograd import convolve_tiles
from tests.oracles import networks as oracle
from tests.oracles.precision import assert_close, both_precisions, evaluate, gradient

every_shape = pytest.mark.parametrize("shape", [(4, 6), (3, 4), (4, 3), (5, 5), (1, 2), (1, 1)])
"""Maps that tiles of 2×2 cover, and maps beyond whose edges tiles reach."""


def drawn(shape: tuple[int, int], channels: int = 3, features: int = 2):
    rng = np.random.default_rng([*shape, channels])
    return rng.normal(size=(2, *shape, channels)), rng.normal(size=(3, 3, channels, features))


def weighted(maps, kernel, weights):
    """A number whose gradient with respect to the result is `weights`."""
    return (convolve_tiles(maps, kernel) * weights).sum()


def slopes(value, array: np.ndarray) -> np.ndarray:
    """The gradient of a linear function: its value for each unit array."""
    units = np.eye(array.size).reshape(-1, *array.shape)
    return np.array([value(unit) for unit in units]).reshape(array.shape)


@both_precisions
@every_shape
def test_tiles_give_the_sum_over_the_taps(shape, precision):
    maps, kernel = drawn(shape)
    actual = evaluate(convolve_tiles, maps, kernel, precision=precision)
    assert_close(actual, oracle.convolution(maps, kernel, 1), precision)


@every_shape
def test_the_gradients_are_those_of_the_sum_over_the_taps(shape):
    maps, kernel = drawn(shape)
    weights = np.random.default_rng(1).normal(size=(*maps.shape[:3], kernel.shape[-1]))
    of_maps, of_kernel = gradient(weighted, maps, kernel, weights, by=(0, 1))
    assert_close(of_maps, slopes(lambda x: (oracle.convolution(x, kernel, 1) * weights).sum(), maps))
    assert_close(of_kernel, slopes(lambda k: (oracle.convolution(maps, k, 1) * weights).sum(), kernel))


def test_branches_at_once_give_what_each_gives_alone():
    kernels = np.random.default_rng(2).normal(size=(3, 3, 3, 4, 5))
    maps = np.random.default_rng(3).normal(size=(3, 2, 4, 4, 4))
    together = evaluate(jax.vmap(convolve_tiles), maps, kernels)
    assert_close(
        together, np.stack([oracle.convolution(*each, 1) for each in zip(maps, kernels, strict=True)])
    )


@pytest.mark.parametrize(
    ("dtype", "height", "share"),
    [
        ("float32", 16, 16 / 36),
        ("float32", 15, 1),
        ("bfloat16", 16, 1),
    ],
    ids=["large maps", "smaller maps", "large maps in bfloat16"],
)
def test_large_maps_take_less_than_half_of_the_multiplications(dtype, height, share):
    maps = jnp.zeros((1, height, 8, TILED_NUMBERS // (16 * 8)), dtype)
    kernel = jnp.zeros((3, 3, maps.shape[-1], 2), dtype)
    flops = [
        count_flops(jax.make_jaxpr(lambda *each, f=form: f(*each, stride=1))(maps, kernel))
        for form in (convolve_taps, convolve_lax)
    ]
    assert flops[0] == pytest.approx(share * flops[1])
