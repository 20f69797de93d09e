"""3×3 convolution with 16 products for 2×2 places instead of 36: Winograd's minimal filtering F(2×2, 3×3).

Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (CVPR 2016), §4.1, whose names the matrices have:
for a tile d of 4×4 places and a kernel g, the 2×2 places of the result are

    Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A.

Over channels, each of the 16 products ⊙ is one of matrices, [T, C] by [C, E] for T tiles. All numbers of the matrices
are 0, ±1 and ±½, so the result differs from the plain sum's by a few roundings.
"""

from collections.abc import Callable, Sequence
from functools import reduce

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

INPUT = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
"""Bᵀ, for four neighbouring places."""
KERNEL = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))
"""G, for the three taps."""
OUTPUT = ((1, 1, 1, 0), (0, 1, -1, -1))
"""Aᵀ, whose rows are two neighbouring places of the result."""
TURNED = (3, 1, 2, 0)
"""The rows of G g in the order that they have for g from its end to its beginning."""

Matrix = Sequence[Sequence[float]]
Grid = Sequence[Sequence[Array]]
"""Arrays by row and column of a tile, each with a row for each of the T tiles, or of the kernel."""


@jax.custom_vjp
def convolve_tiles(x: Float[Array, "B H W C"], kernel: Float[Array, "3 3 C E"]) -> Float[Array, "B H W E"]:
    """Convolve maps that are padded by one zero on every side, by stride 1.

    The gradients are written out: that of the maps is such a convolution itself, and that of the kernel has 16 products
    too. JAX would make both from the gradients of slices, which a CPU adds one by one.
    """
    return _convolve(x, _transform(KERNEL, _taps(kernel)), jnp.matmul)


def _forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    """Convolve, and keep what the gradients need."""
    return convolve_tiles(x, kernel), (x, kernel)


def _backward(kept: tuple[Array, Array], gradient: Float[Array, "B H W E"]) -> tuple[Array, Array]:
    """Compute the gradients of the maps and of the kernel: Gᵀ [Σ_tiles (Bᵀ d B) ⊙ (A y Aᵀ)] G for the latter."""
    # Else XLA keeps the tiles of the forward pass, which are four times the maps.
    x, kernel = jax.lax.optimization_barrier(kept)
    transformed = _transform(KERNEL, _taps(kernel))
    turned = [[transformed[i][j] for j in TURNED] for i in TURNED]
    of_maps = _convolve(gradient, turned, lambda tiles, matrix: tiles @ matrix.T)
    outputs = _transform(_transposed(OUTPUT), _tiles(gradient, size=2, before=0))
    products = _multiply(_inputs(x), outputs, lambda tiles, results: (results.T @ tiles).T)
    of_kernel = _transform(_transposed(KERNEL), products)
    return of_maps, jnp.stack([jnp.stack(row) for row in of_kernel])


convolve_tiles.defvjp(_forward, _backward)


def _convolve(x: Float[Array, "B H W C"], transformed: Grid, product: Callable) -> Float[Array, "B H W E"]:
    """Convolve with a kernel that is transformed, G g Gᵀ."""
    products = _multiply(_inputs(x), transformed, product)
    return _join(_transform(OUTPUT, products), x.shape[:3])


def _inputs(x: Float[Array, "B H W C"]) -> Grid:
    """Give the transformed tiles of maps, Bᵀ d B."""
    return _transform(INPUT, _tiles(x, size=4, before=1))


def _transform(matrix: Matrix, grid: Grid) -> Grid:
    """Compute M grid Mᵀ, whose numbers are arrays: first the columns of the grid, then its rows."""
    columns = [_combine(matrix, column) for column in zip(*grid, strict=True)]
    return [_combine(matrix, row) for row in zip(*columns, strict=True)]


def _combine(matrix: Matrix, arrays: Sequence[Array]) -> list[Array]:
    """Sum the arrays with the weights of each row of a matrix, without those of weight 0."""
    terms = ([w * array for w, array in zip(row, arrays, strict=True) if w] for row in matrix)
    return [reduce(jnp.add, each) for each in terms]


def _multiply(one: Grid, other: Grid, product: Callable) -> Grid:
    """Multiply two grids place by place."""
    return [[product(*pair) for pair in zip(*rows, strict=True)] for rows in zip(one, other, strict=True)]


def _transposed(matrix: Matrix) -> Matrix:
    """Give the transpose of a matrix."""
    return list(zip(*matrix, strict=True))


def _taps(kernel: Float[Array, "3 3 C E"]) -> Grid:
    """Give the matrix of each tap."""
    return [list(row) for row in kernel]


def _tiles(x: Float[Array, "B H W C"], *, size: int, before: int) -> Grid:
    """Give the places of all tiles of a size, which begin at every second place; `before` lie before the first one."""
    height, width, channels = x.shape[1:]
    counts = [-(-n // 2) for n in (height, width)]
    ends = (2 * (count - 1) + size - before - n for count, n in zip(counts, (height, width), strict=True))
    # Else XLA computes what comes before, a normalisation, anew for each of the sums that read a place.
    x = jax.lax.optimization_barrier(jnp.pad(x, ((0, 0), *((before, end) for end in ends), (0, 0))))
    down, right = (2 * count - 1 for count in counts)
    return [
        [x[:, i : i + down : 2, j : j + right : 2].reshape(-1, channels) for j in range(size)]
        for i in range(size)
    ]


def _join(grid: Grid, shape: Sequence[int]) -> Float[Array, "B H W E"]:
    """Put the 2×2 places of all tiles back into maps of a shape (B, H, W), without what lies beyond it."""
    batch, height, width = shape
    tiles = jnp.stack([jnp.stack(row, axis=1) for row in grid], axis=1)
    tiles = tiles.reshape(batch, -(-height // 2), -(-width // 2), *tiles.shape[1:])
    maps = tiles.swapaxes(2, 3).reshape(batch, height + height % 2, width + width % 2, -1)
    return jax.lax.optimization_barrier(maps[:, :height, :width])  # else its readers sum the products anew
