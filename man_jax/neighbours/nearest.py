"""Find the nearest neighbours of every sample among all samples, in blocks of rows."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

BLOCK_ENTRIES = 4_000_000
"""How many numbers a block holds at once: similarities [rows, N], or features [pairs, D]."""


class Neighbours(NamedTuple):
    """The k nearest samples of each of N samples, and how far away its farthest sample is."""

    nearest: Int32[np.ndarray, "N k"]
    """Nearest first; the sample itself comes before all."""
    least: Float[np.ndarray, " N"]
    """The smallest similarity to any sample."""


def unit_rows(features: ArrayLike) -> Float[np.ndarray, "N D"]:
    """Make the features [N, D] unit, in float32; ValueError if they are of another shape or not finite."""
    rows = np.asarray(features, np.float32)
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(
            f"features have the shape {rows.shape}; give one row a sample, [N, D], and at least one"
        )
    broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(broken):
        raise ValueError(
            f"the features of {len(broken)} of {len(rows)} samples are not finite, the first is sample "
            f"{broken[0]}; look for NaN in the network's output"
        )
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def check_counts(num_samples: int, *, k1: int, k2: int) -> None:
    """Check that k1 neighbours can be found among the samples, and k2 of them averaged; ValueError if not."""
    if not 1 <= k1 <= num_samples:
        raise ValueError(
            f"k1 is {k1}, but there are {num_samples} samples to have neighbours; choose 1 <= k1 <= {num_samples}"
        )
    if not 1 <= k2 <= k1:
        raise ValueError(f"k2 is {k2}, but only k1 = {k1} neighbours are searched; choose 1 <= k2 <= {k1}")


def find_nearest(rows: Float[np.ndarray, "N D"], k: int, added: csr_array | None = None) -> Neighbours:
    """Find the k nearest neighbours of every sample by the cosine of its unit features.

    Neighbours at equal distance keep the order of the samples. `added`, sparse [N, N], is added to the cosines.
    """
    num_samples = len(rows)
    nearest = np.empty((num_samples, k), np.int32)
    least = np.empty(num_samples, rows.dtype)
    height = min(num_samples, max(1, BLOCK_ENTRIES // num_samples))
    placed = jnp.asarray(rows)
    for begin in range(0, num_samples, height):
        # All blocks are of one size, for one program; the last one overlaps the one before it.
        start = min(begin, num_samples - height)
        block = slice(start, start + height)
        more = None if added is None else added[block].toarray().astype(rows.dtype)
        nearest[block], least[block] = _nearest_of_block(placed, start, more, k=k, height=height)
    return Neighbours(nearest, least)


@partial(jax.jit, static_argnames=("k", "height"))
def _nearest_of_block(
    rows: Float[Array, "N D"], start, added: Float[Array, "b N"] | None, *, k: int, height: int
) -> tuple[Int32[Array, "b k"], Float[Array, " b"]]:
    """Find the k nearest of rows start to start + height, and their smallest similarity."""
    block = jax.lax.dynamic_slice_in_dim(rows, start, height)
    similarity = jnp.matmul(block, rows.T, precision=jax.lax.Precision.HIGHEST)
    if added is not None:
        similarity += added
    least = jnp.min(similarity, axis=1)
    own = jnp.arange(height)
    similarity = similarity.at[own, start + own].set(jnp.inf)
    return jax.lax.top_k(similarity, k)[1], least


def find_largest(similarity: Float[np.ndarray, "b N"], k: int) -> Int32[np.ndarray, "b k"]:
    """Find the columns of the k largest values of each row, largest first; equal ones by column."""
    smallest_kept = np.partition(similarity, -k, axis=1)[:, -k]
    above = similarity > smallest_kept[:, None]
    # A partition does not say which of several equal last values are kept; here the first are.
    equal = similarity == smallest_kept[:, None]
    kept = above | (equal & (np.cumsum(equal, axis=1) <= k - above.sum(axis=1, keepdims=True)))
    columns = np.nonzero(kept)[1].reshape(-1, k)
    order = np.argsort(-np.take_along_axis(similarity, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1).astype(np.int32)
