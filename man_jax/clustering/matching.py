"""Match the clusters of two clusterings one to one, by the samples that they share (on the host)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, Integer
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

TABLE_CELLS = 2**24
"""Above so many pairs of clusters (4,096 x 4,096) only the pairs that share samples are held and looked at."""


class Matching(NamedTuple):
    """Pairs of clusters, as many as the clustering with fewer clusters has; each cluster is in one pair at most."""

    one: Int64[np.ndarray, " P"]
    """Clusters of the first clustering, ascending."""
    other: Int64[np.ndarray, " P"]
    shared: Int64[np.ndarray, " P"]
    """How many samples the two clusters of a pair share."""


def match_clusters(
    one: Integer[np.ndarray, " N"], other: Integer[np.ndarray, " N"], *, num_one: int, num_other: int
) -> Matching:
    """Find the one-to-one matching of two clusterings that shares most samples (the Hungarian method).

        matching = argmax Σ_i |A_i ∩ B_a(i)|   over one-to-one assignments a

    A are the clusters 0 … num_one − 1 of the first clustering, B those of the other one; −1 is no cluster. Up to
    `TABLE_CELLS` pairs, the time is O(K³) and the memory O(K²). Above, both follow the pairs that share samples, of
    which there are N at most: 50,000 clusters of a million samples take seconds. Which of several best matchings is
    found may differ between the two ways.
    """
    one, other = np.asarray(one, np.int64), np.asarray(other, np.int64)
    if num_one * num_other <= TABLE_CELLS:
        table = contingency_table(one, other, num_one=num_one, num_other=num_other)
        rows, columns = linear_sum_assignment(table, maximize=True)
        return Matching(rows, columns, table[rows, columns])
    return _match_sharing(one, other, num_one, num_other)


def contingency_table(
    one: Integer[np.ndarray, " N"], other: Integer[np.ndarray, " N"], *, num_one: int, num_other: int
) -> Int64[np.ndarray, "K L"]:
    """Count the samples |A_i ∩ B_j| in cluster i of one clustering and j of the other, in O(N + K L).

    Samples in no cluster of either (−1) do not count.
    """
    cells = _cells(np.asarray(one, np.int64), np.asarray(other, np.int64), num_other)
    return np.bincount(cells, minlength=num_one * num_other).reshape(num_one, num_other)


def _cells(one: np.ndarray, other: np.ndarray, num_other: int) -> Int64[np.ndarray, " n"]:
    """Number the pair of clusters of each sample that is in a cluster of both."""
    return (one * num_other + other)[(one >= 0) & (other >= 0)]


def _match_sharing(one: np.ndarray, other: np.ndarray, num_one: int, num_other: int) -> Matching:
    """Match clusters that share samples; then pair the clusters that are left in their order."""
    pairs, counts = np.unique(_cells(one, other, num_other), return_counts=True)
    rows, columns = np.divmod(pairs, num_other)
    # Each cluster may also stay alone, which is worth less than a shared sample: the solver wants all rows matched.
    alone = np.arange(num_one)
    worth = csr_array(
        (
            np.concatenate([counts + 1.0, np.ones(num_one)]),
            (np.concatenate([rows, alone]), np.concatenate([columns, num_other + alone])),
        ),
        shape=(num_one, num_other + num_one),
    )
    matched, match = min_weight_full_bipartite_matching(worth, maximize=True)
    found = np.full(num_one, -1, np.int64)
    found[matched] = np.where(match < num_other, match, -1)
    left = np.setdiff1d(np.arange(num_other), found)
    free = np.flatnonzero(found < 0)[: len(left)]
    found[free] = left[: len(free)]
    kept = np.flatnonzero(found >= 0)
    cells = kept * num_other + found[kept]
    place = np.minimum(np.searchsorted(pairs, cells), max(len(pairs) - 1, 0))
    shared = (
        np.where(pairs[place] == cells, counts[place], 0) if len(pairs) else np.zeros(len(kept), np.int64)
    )
    return Matching(kept, found[kept], shared)
