"""Find the k nearest gallery entries of each query, exactly, without the distances of all pairs in memory at once."""

import numpy as np
from jaxtyping import Float32, Int64

from man_jax.retrieval.ranking import query_gallery_distances

BLOCK_ENTRIES = 8_000_000
"""Distances computed at once."""


def nearest(
    query: Float32[np.ndarray, "Q D"], gallery: Float32[np.ndarray, "G D"], k: int
) -> tuple[Int64[np.ndarray, "Q k"], Float32[np.ndarray, "Q k"]]:
    """Find the places of the k nearest gallery entries of each query, nearest first, and their squared distances.

    Entries at equal distance keep the order of the gallery. If the gallery has fewer than k, all are found.

    Raises:
        ValueError: a side is empty, the widths differ, a feature is not finite, or k is below 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    k = min(k, len(gallery))
    indices, distances = np.empty((len(query), k), np.int64), np.empty((len(query), k), np.float32)
    step = max(1, BLOCK_ENTRIES // max(1, len(gallery)))
    for start in range(0, len(query), step):
        block = query_gallery_distances(query[start : start + step], gallery)
        for row, of_row in enumerate(block, start=start):
            # All that are not farther than the k-th, because a partition alone orders equal distances by chance.
            near = np.flatnonzero(of_row <= np.partition(of_row, k - 1)[k - 1])
            indices[row] = near[np.argsort(of_row[near], kind="stable")][:k]
            distances[row] = of_row[indices[row]]
    return indices, distances
