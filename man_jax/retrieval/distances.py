"""Squared distances between queries and a gallery: all of them at once, or the rows that are asked for.

JAX's device does much work in float32, where products take half of NumPy's time on a CPU, too. NumPy does the rest:
little work, which is done before a program would be compiled, a few rows, float64, and very large galleries.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike, NDArray

MUCH = 2**33
"""From as many multiplications on, Q G D, blocks of rows go to the device: NumPy takes a tenth of a second for them."""
LARGEST_GALLERY = 2**31
"""The most bytes of features that are placed on the device beside what it holds."""
FEWEST_ROWS, MOST_ROWS = 64, 256
"""Queries of one product there: fewer are for NumPy, and more are divided."""


class FeatureDistances:
    """The squared Euclidean distances [Q, G] of features [Q, D] and [G, D], in float32 or wider; no row is kept.

        |q - g|^2 = |q|^2 + |g|^2 - 2 q.g,   not below 0

    `distances[queries]` computes the rows of some queries, by an index, a slice or an array of indices, and
    `np.asarray(distances)` all of them. Meant for unit features; for features far from the origin the subtraction
    loses digits.

    Raises:
        ValueError: the widths differ, a side is empty, or a feature is not finite.
    """

    def __init__(self, query: ArrayLike, gallery: ArrayLike):
        query, gallery = np.asarray(query), np.asarray(gallery)
        if query.ndim != 2 or gallery.ndim != 2 or query.shape[1] != gallery.shape[1]:
            raise ValueError(f"features must be [Q, D] and [G, D], got {query.shape} and {gallery.shape}")
        dtype = np.result_type(query, gallery, np.float32)
        self._query, self._gallery = query.astype(dtype, copy=False), gallery.astype(dtype, copy=False)
        self._query_norms = _squared_norms(self._query, "query")
        self._gallery_norms = _squared_norms(self._gallery, "gallery")
        much = len(query) * gallery.size >= MUCH and self._gallery.nbytes <= LARGEST_GALLERY
        gallery_rows = (self._gallery, self._gallery_norms)
        self._placed = tuple(map(jnp.asarray, gallery_rows)) if much and dtype == np.float32 else None

    @property
    def shape(self) -> tuple[int, int]:
        """(Q, G)."""
        return len(self._query), len(self._gallery)

    def __getitem__(self, queries: int | slice | NDArray[np.integer]) -> NDArray[np.floating]:
        """Compute the rows [b, G] of some queries, or the row [G] of one."""
        query, norms = self._query[queries], self._query_norms[queries]
        if self._placed is not None and query.ndim == 2 and len(query) >= FEWEST_ROWS:
            return _on_the_device(query, norms, *self._placed)
        distances = query @ self._gallery.T
        distances *= -2
        distances += norms[..., None]
        distances += self._gallery_norms
        return np.maximum(distances, 0, out=distances)

    def __array__(self, dtype=None, copy=None) -> NDArray:
        return np.asarray(self[:], dtype)


def _on_the_device(
    query: NDArray[np.float32], norms: NDArray[np.float32], gallery: Array, gallery_norms: Array
) -> NDArray[np.float32]:
    """Compute the rows [b, G] of queries in blocks of few heights, each of which is a program: powers of two."""
    distances = np.empty((len(query), len(gallery)), np.float32)
    for start in range(0, len(query), MOST_ROWS):
        part = slice(start, start + MOST_ROWS)
        count = len(query[part])
        missing = (1 << (count - 1).bit_length()) - count
        rows = np.pad(query[part], ((0, missing), (0, 0)))
        block = _distances(rows, np.pad(norms[part], (0, missing)), gallery, gallery_norms)
        distances[part] = np.asarray(block)[:count]
    return distances


@jax.jit
def _distances(
    query: Float[Array, "b D"],
    query_norms: Float[Array, " b"],
    gallery: Float[Array, "G D"],
    gallery_norms: Float[Array, " G"],
) -> Float[Array, "b G"]:
    """Compute the squared distances of some queries as `FeatureDistances` does."""
    products = jnp.matmul(query, gallery.T, precision=jax.lax.Precision.HIGHEST)
    return jnp.maximum(query_norms[:, None] + gallery_norms[None] - 2 * products, 0)


AnyDistances = ArrayLike | FeatureDistances
"""An array of distances [Q, G], or features that give them."""


def as_rows(distances: AnyDistances) -> NDArray | FeatureDistances:
    """Make the rows of distances readable by `distances[queries]`."""
    return distances if isinstance(distances, FeatureDistances) else np.asarray(distances)


def query_gallery_distances(query: ArrayLike, gallery: ArrayLike) -> NDArray[np.floating]:
    """Compute the squared Euclidean distances [Q, G] of features [Q, D] and [G, D], as `FeatureDistances` does.

    Raises:
        ValueError: the widths differ, a side is empty, or a feature is not finite.
    """
    return FeatureDistances(query, gallery)[:]


def _squared_norms(features: NDArray, side: str) -> NDArray:
    """Compute squared lengths [N] without a copy of the features; they are finite exactly if the features are."""
    norms = np.einsum("nd,nd->n", features, features)
    broken = np.flatnonzero(~np.isfinite(norms))
    if len(broken):
        raise ValueError(
            f"{len(broken)} of {len(norms)} {side} features are not finite (NaN or inf), the first is row "
            f"{broken[0]}; look for NaN in the network's output or in the images behind these rows"
        )
    return norms
