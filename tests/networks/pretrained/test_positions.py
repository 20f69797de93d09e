"""Position embeddings of a square grid, for the grid of our images."""

import numpy as np
import pytest
import torch

from man_jax.networks.pretrained.errors import WeightsError
from man_jax.networks.pretrained.positions import resample_positions

GRIDS = [(16, 8), (21, 10), (7, 7), (1, 30), (14, 13)]


def drawn(side: int = 14) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(1 + side * side, 5))


@pytest.mark.parametrize("grid", GRIDS)
def test_patches_are_resampled_as_pytorch_resamples_an_image(grid):
    positions = drawn()
    square = torch.from_numpy(positions[1:].reshape(1, 14, 14, 5).transpose(0, 3, 1, 2))
    expected = torch.nn.functional.interpolate(square, size=grid, mode="bicubic", align_corners=False)
    actual = resample_positions(positions, grid)[1:].reshape(*grid, 5)
    np.testing.assert_allclose(actual, expected[0].numpy().transpose(1, 2, 0), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("grid", GRIDS)
def test_the_class_token_s_stays_as_it_is(grid):
    np.testing.assert_array_equal(resample_positions(drawn(), grid)[0], drawn()[0])


@pytest.mark.parametrize("grid", [(14, 14)])
def test_the_same_grid_is_left_alone(grid):
    np.testing.assert_array_equal(resample_positions(drawn(), grid), drawn())


def test_a_grid_that_is_no_square_is_taken_as_ours():
    positions = drawn()[: 1 + 16 * 8]
    np.testing.assert_array_equal(resample_positions(positions, (16, 8)), positions)


@pytest.mark.parametrize("count", [1, 196, 198])
def test_a_number_that_is_no_class_token_and_square_is_refused(count):
    with pytest.raises(WeightsError, match=rf"its {count} position embeddings are not a class token's and"):
        resample_positions(np.zeros((count, 5)), (16, 8))
