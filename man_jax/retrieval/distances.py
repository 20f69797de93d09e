"""Squared distances between queries and a gallery: all of them at once, or the rows that are asked for."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


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

    @property
    def shape(self) -> tuple[int, int]:
        """(Q, G)."""
        return len(self._query), len(self._gallery)

    def __getitem__(self, queries: int | slice | NDArray[np.integer]) -> NDArray[np.floating]:
        """Compute the rows [b, G] of some queries, or the row [G] of one."""
        distances = self._query[queries] @ self._gallery.T
        distances *= -2
        distances += self._query_norms[queries, ..., None]
        distances += self._gallery_norms
        return np.maximum(distances, 0, out=distances)

    def __array__(self, dtype=None, copy=None) -> NDArray:
        return np.asarray(self[:], dtype)


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
