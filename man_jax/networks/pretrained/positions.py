"""Resample position embeddings from one grid of patches to another."""

import math

import numpy as np
from jaxtyping import Float

from man_jax.networks.pretrained.errors import WeightsError

SHARPNESS = -0.75
"""The cubic kernel's parameter in PyTorch; Keys' own, and `jax.image.resize`'s, is −0.5."""


def resample_positions(
    positions: Float[np.ndarray, "N D"], grid: tuple[int, int]
) -> Float[np.ndarray, "1+h*w D"]:
    """Resample embeddings of the class token and a square grid of patches to the class token and `grid` (h, w).

    Bicubic, without smoothing, as torch.nn.functional.interpolate(mode="bicubic", align_corners=False) and Hugging
    Face do it. (TransReID interpolates linearly, timm smooths where the grid shrinks.) A number of patches that is
    no square but that of `grid` is taken to be of `grid` already.

    Raises:
        WeightsError: the number of patches is no square.
    """
    count = len(positions) - 1
    side = math.isqrt(max(count, 0))
    if (count == grid[0] * grid[1] and side * side != count) or (side, side) == grid:
        return positions
    if side < 1 or side * side != count:
        raise WeightsError(
            f"its {len(positions)} position embeddings are not a class token's and those of a square of patches "
            f"(nor those of {grid[0]} × {grid[1]}); use weights with a class token, from square images"
        )
    patches = positions[1:].astype(np.float64).reshape(side, side, -1)
    down, across = (_cubic(side, length) for length in grid)
    moved = np.einsum("ik,jl,kld->ijd", down, across, patches, optimize=True)
    return np.concatenate([positions[:1], moved.reshape(grid[0] * grid[1], -1)])


def _cubic(before: int, after: int) -> Float[np.ndarray, "after before"]:
    """Compute the weights of `before` points in each of `after` points; beyond the border the last point repeats."""
    matrix = np.zeros((after, before))
    for i in range(after):
        place = (i + 0.5) * before / after - 0.5
        start = math.floor(place)
        for tap in range(start - 1, start + 3):
            matrix[i, min(max(tap, 0), before - 1)] += _kernel(abs(place - tap))
    return matrix


def _kernel(x: float) -> float:
    a = SHARPNESS
    if x <= 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a if x < 2 else 0.0
