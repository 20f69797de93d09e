"""Average-linkage clustering of samples whose distances are known (NumPy and SciPy, on the host)."""

import numpy as np
from jaxtyping import Float64, Int32, Integer
from numpy.typing import ArrayLike
from scipy.cluster.hierarchy import linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from man_jax.clustering.given_distances import check_distances, check_symmetric
from man_jax.clustering.sizes import OUTLIER


def average_linkage(distances: ArrayLike) -> Float64[np.ndarray, "N-1 4"]:
    """Merge the two nearest clusters until one is left; return SciPy's table of the merges, lowest first.

        d(A, B) = mean of d(i, j), i in A, j in B

    A row has the numbers of both clusters, their distance, and how many samples the new cluster has. The n-th merge
    makes cluster N + n.

    Besides the distances [N, N], which stay as they are, it takes 8 N^2 bytes (600 MB for N = 8,700).

    Raises:
        ValueError: the distances are not square, not symmetric, negative or not finite.

    Source: Sokal & Michener, "A statistical method for evaluating systematic relationships", 1958 (UPGMA).
    Differs from the source: nothing.
    """
    rows = np.asarray(distances)
    check_distances(rows)
    check_symmetric(rows, rows)
    num_samples = len(rows)
    if num_samples < 2:
        return np.empty((0, 4))
    # SciPy wants the upper triangle in float64. A float64 copy of the whole matrix would take twice as much.
    condensed = np.empty(num_samples * (num_samples - 1) // 2)
    start = 0
    for i in range(num_samples - 1):
        stop = start + num_samples - 1 - i
        condensed[start:stop] = rows[i, i + 1 :]
        start = stop
    return linkage(condensed, method="average")


def cut_into(tree: Float64[np.ndarray, "N-1 4"], num_clusters: int) -> Int32[np.ndarray, " N"]:
    """Make `num_clusters` clusters by leaving out the last merges; number them by their first samples.

    There are exactly as many, also where several merges are at the same distance.

    Raises:
        ValueError: 1 <= num_clusters <= N does not hold.
    """
    num_samples = len(tree) + 1
    if not 1 <= num_clusters <= num_samples:
        raise ValueError(
            f"num_clusters is {num_clusters}, but there are {num_samples} samples to cluster; "
            f"choose 1 <= num_clusters <= {num_samples} (config.adapt.num_clusters)"
        )
    return _merged(tree, num_samples - num_clusters)


def cut_at(tree: Float64[np.ndarray, "N-1 4"], distance: float) -> Int32[np.ndarray, " N"]:
    """Keep the merges at `distance` or below; number the clusters by their first samples."""
    return _merged(tree, int(np.searchsorted(tree[:, 2], distance, side="right")))


def _merged(tree: Float64[np.ndarray, "N-1 4"], num_merges: int) -> Int32[np.ndarray, " N"]:
    """Label the samples after the first merges."""
    num_samples = len(tree) + 1
    made = np.repeat(num_samples + np.arange(num_merges), 2)
    joined = tree[:num_merges, :2].astype(np.int64).ravel()
    size = 2 * num_samples - 1
    graph = coo_array((np.ones(len(made), bool), (joined, made)), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    _, first, component = np.unique(component[:num_samples], return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[component].astype(np.int32)


def drop_small(labels: Integer[np.ndarray, " N"], *, least: int) -> Int32[np.ndarray, " N"]:
    """Make outliers, −1, of the members of clusters with fewer than `least` samples; number the others from 0."""
    sizes = np.bincount(labels[labels >= 0])
    kept = sizes >= least
    renamed = np.append(np.where(kept, np.cumsum(kept) - 1, OUTLIER), OUTLIER)  # the last is that of outliers
    return renamed[labels].astype(np.int32)


def estimate_num_clusters(tree: Float64[np.ndarray, "N-1 4"], *, distance: float, least: int) -> int:
    """Estimate k: count the clusters of at least `least` samples when the tree is cut at `distance`; at least 1."""
    return max(1, int(drop_small(cut_at(tree, distance), least=least).max(initial=-1)) + 1)
