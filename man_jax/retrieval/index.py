"""Find the nearest gallery rows of each query exactly, in blocks, so that memory does not grow with Q x G."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64

BLOCK_QUERIES, BLOCK_ROWS = 1024, 4096
"""Queries and gallery rows that are compared at once: 16 MiB of distances."""
NONE = -1
"""Stands in the place of a match that a short gallery cannot fill."""


class Matches(NamedTuple):
    """The nearest gallery rows of each query, best first."""

    rows: Int64[np.ndarray, "Q k"]
    """Gallery rows; `NONE` where the gallery has no more."""
    distances: Float32[np.ndarray, "Q k"]
    """Cosine distances, from 0 to 2; inf where `rows` is `NONE`."""


def nearest_rows(
    query: Float32[np.ndarray, "Q D"],
    gallery: Float32[np.ndarray, "G D"],
    *,
    k: int,
    left_out: Sequence[np.ndarray] | None = None,
) -> Matches:
    """Find the k gallery rows that are nearest to each query by cosine distance, 1 - q.g, of unit rows.

    Rows at equal distance keep the order of the gallery.

    Args:
        query, gallery: unit rows.
        k: how many matches of each query, from 1 upwards.
        left_out: for each query, gallery rows that may not be matches of it; none if not given.

    Raises:
        ValueError: the widths differ, or k is less than 1.
    """
    if query.ndim != 2 or gallery.ndim != 2 or query.shape[1] != gallery.shape[1]:
        raise ValueError(f"features must be [Q, D] and [G, D], got {query.shape} and {gallery.shape}")
    if k < 1:
        raise ValueError(f"k must be 1 or more, got {k}")
    found = Matches(np.full((len(query), k), NONE, np.int64), np.full((len(query), k), np.inf, np.float32))
    for first in range(0, len(query), BLOCK_QUERIES):
        queries = slice(first, first + BLOCK_QUERIES)
        for start in range(0, len(gallery), BLOCK_ROWS):
            distances = cosine_distances(query[queries], gallery[start : start + BLOCK_ROWS])
            if left_out is not None:
                _leave_out(distances, left_out[queries], start)
            for place, line in enumerate(distances, start=first):
                _keep_nearest(found.rows[place], found.distances[place], line, start)
    return found


def cosine_distances(
    query: Float32[np.ndarray, "Q D"], gallery: Float32[np.ndarray, "G D"]
) -> Float32[np.ndarray, "Q G"]:
    """Compute the cosine distances of unit rows; rounding never makes one negative."""
    products = query @ gallery.T
    return np.maximum(np.subtract(1, products, out=products), 0, out=products)


def recall(found: Matches, exact: Matches) -> float:
    """Compute the share of the exact nearest rows that `found` has too."""
    expected = exact.rows != NONE
    hits = [np.isin(line, other) for line, other in zip(exact.rows, found.rows, strict=True)]
    return float((np.array(hits) & expected).sum() / max(1, expected.sum()))


def _leave_out(distances: np.ndarray, left_out: Sequence[np.ndarray], start: int) -> None:
    """Make the distances [b, n] of gallery rows from `start` on infinite where they may not be matches."""
    for line, rows in zip(distances, left_out, strict=True):
        line[rows[(rows >= start) & (rows < start + len(line))] - start] = np.inf


def _keep_nearest(rows: np.ndarray, distances: np.ndarray, line: np.ndarray, start: int) -> None:
    """Merge the distances of gallery rows from `start` on into the k best of one query, in place."""
    k = len(rows)
    near = np.flatnonzero(line < distances[-1])  # at the same distance the earlier row keeps its place
    if len(near) > k:
        near = near[line[near] <= np.partition(line[near], k - 1)[k - 1]]
    all_rows = np.concatenate([rows, near + start])
    all_distances = np.concatenate([distances, line[near]])
    order = np.argsort(all_distances, kind="stable")[:k]
    rows[:], distances[:] = all_rows[order], all_distances[order]
