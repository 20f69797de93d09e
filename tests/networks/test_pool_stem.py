"""The pool behind the first convolution, against a plain loop over windows."""

import jax
import numpy as np
import pytest

from man_jax.networks.resnet import pool_stem
from tests.oracles.precision import assert_close, evaluate, gradient

every_form = pytest.mark.parametrize("form", ["lax", "taps"])
every_size = pytest.mark.parametrize(("height", "width"), [(6, 4), (5, 7), (1, 2), (2, 1)])


def drawn(height: int, width: int):
    return np.random.default_rng([height, width]).normal(size=(2, height, width, 3))


def windows(maps):
    """The places (b, i, j, c) of each window, by the place of its result."""
    batch, height, width, channels = maps.shape
    for b, i, j, c in np.ndindex(batch, (height + 1) // 2, (width + 1) // 2, channels):
        rows, columns = (
            [n for n in range(2 * place - 1, 2 * place + 2) if 0 <= n < length]
            for place, length in ((i, height), (j, width))
        )
        yield (b, i, j, c), [(b, row, column, c) for row in rows for column in columns]


def pooled(maps):
    batch, height, width, channels = maps.shape
    result = np.empty((batch, (height + 1) // 2, (width + 1) // 2, channels))
    for place, read in windows(maps):
        result[place] = max(maps[each] for each in read)
    return result


def energy(maps, *, form):
    return 0.5 * (pool_stem(maps, form=form) ** 2).sum()


@every_size
@every_form
def test_each_place_has_the_largest_of_its_window(form, height, width):
    maps = drawn(height, width)
    assert_close(evaluate(pool_stem, maps, form=form), pooled(maps))


@every_size
@every_form
def test_the_gradient_goes_to_the_largest_of_each_window(form, height, width):
    maps = drawn(height, width)
    expected = np.zeros_like(maps)
    for _, read in windows(maps):
        largest = max(read, key=lambda each: maps[each])
        expected[largest] += maps[largest]
    assert_close(gradient(energy, maps, form=form), expected)


def behind_a_relu(maps, *, form):
    return pool_stem(jax.nn.relu(maps), form=form).sum()


def test_behind_a_relu_both_forms_have_the_same_gradient_although_windows_have_many_zeros():
    maps = drawn(6, 5) - 1
    assert (pooled(np.maximum(maps, 0)) == 0).any()
    lax, taps = (gradient(behind_a_relu, maps, form=form) for form in ("lax", "taps"))
    assert_close(taps, lax)
