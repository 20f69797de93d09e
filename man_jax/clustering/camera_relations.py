"""Merge clusters that were made within cameras into classes across cameras, by what their samples resemble.

Source: Li et al., "Logical relation inference and multiview information interaction for domain adaptation person
re-identification", TNNLS 2024.
"""

from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, Int, Int32
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from man_jax.clustering.sizes import OUTLIER


def merge_across_cameras(
    features: Float[np.ndarray, "N D"],
    clusters: Int[np.ndarray, " N"],
    cameras: Int[np.ndarray, " N"],
    *,
    threshold: float,
) -> Int32[np.ndarray, " N"]:
    """Label samples by classes that clusters of several cameras form; −1 where no other camera matches.

    Two clusters of two cameras are related if samples of theirs are near: their squared distance, scaled to [0, 1]
    over the samples of the two cameras, is at most `threshold`. `infer_matches` makes matches of relations. Clusters
    that matches connect are a class, and classes whose centres are near, in the same sense, are one. `clusters` number
    the clusters of all cameras, no number in two cameras; an outlier, −1, is a cluster by itself. Classes are numbered
    by their first samples.

    Differs from the source: matches connect clusters over any number of cameras (there, only over one between); the
    nearest samples of two cameras are near too (there, their scaled distance of 0 counts as none).
    """
    clusters = _numbered_alone(clusters)
    num_clusters = int(clusters.max(initial=-1)) + 1
    joined = [np.empty((0, 2), np.int64)]
    for one, other in combinations(np.unique(cameras), 2):
        rows, columns = np.flatnonzero(cameras == one), np.flatnonzero(cameras == other)
        i, j = np.nonzero(near_pairs(features[rows], features[columns], threshold=threshold))
        of_rows, row = np.unique(clusters[rows], return_inverse=True)
        of_columns, column = np.unique(clusters[columns], return_inverse=True)
        related = np.zeros((len(of_rows), len(of_columns)), bool)
        related[row[i], column[j]] = True
        p, q = infer_matches(related).T
        joined.append(np.stack([of_rows[p], of_columns[q]], axis=1))
    pairs = np.concatenate(joined)
    matched = np.zeros(num_clusters, bool)
    matched[pairs.ravel()] = True
    labels = np.where(matched[clusters], _connected(pairs, num_clusters)[clusters], OUTLIER)
    return fuse_near_classes(features, labels, threshold=threshold)


def near_pairs(
    rows: Float[np.ndarray, "n D"], columns: Float[np.ndarray, "m D"], *, threshold: float
) -> Bool[np.ndarray, "n m"]:
    """Mark the pairs whose squared distance is at most `threshold` when all are scaled to [0, 1]."""
    squared = np.sum(rows**2, axis=1)[:, None] + np.sum(columns**2, axis=1) - 2 * rows @ columns.T
    least, largest = squared.min(), squared.max()
    return squared - least <= threshold * (largest - least)


def infer_matches(related: Bool[np.ndarray, "P Q"]) -> Int[np.ndarray, "n 2"]:
    """Find which clusters of two cameras are one identity from which clusters are related.

    A cluster of the first camera with one relation has its match. From the relations of another one, the matches of
    these are taken away, one by one, as long as more than one is left; if one is left at the end, it is the match. A
    cluster of the second camera that several match has none.

    Differs from the source: of several clusters with the same match, its code drops them two by two, so that of three
    one keeps it; and one with several relations left can make another lose its match.
    """
    given = [set(np.flatnonzero(row).tolist()) for row in related]
    certain = [next(iter(each)) for each in given if len(each) == 1]
    matches = []
    for p, relations in enumerate(given):
        left = set(relations)
        for q in certain:
            if len(left) <= 1:
                break
            left.discard(q)
        if len(left) == 1:
            matches.append((p, left.pop()))
    found = np.array(matches, np.int64).reshape(-1, 2)
    claims = np.bincount(found[:, 1], minlength=related.shape[1])
    return found[claims[found[:, 1]] == 1]


def _numbered_alone(clusters: Int[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
    """Give each outlier a number of its own, after those of the clusters."""
    outside = clusters < 0
    return np.where(outside, clusters.max(initial=-1) + np.cumsum(outside), clusters)


def _connected(pairs: Int[np.ndarray, "n 2"], size: int) -> Int[np.ndarray, " K"]:
    """Number the connected parts of `size` things, of which these pairs are connected."""
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    return connected_components(graph, directed=False)[1]


def fuse_near_classes(
    features: Float[np.ndarray, "N D"], labels: Int[np.ndarray, " N"], *, threshold: float
) -> Int32[np.ndarray, " N"]:
    """Join the classes whose centres are near, and number the classes by their first samples; −1 stays −1.

    Near means that the squared distance, scaled to [0, 1] over all pairs of centres, is at most `threshold`.
    """
    result = np.full(len(labels), OUTLIER, np.int32)
    inside = np.flatnonzero(labels >= 0)
    if len(inside) == 0:
        return result
    _, classes = np.unique(labels[inside], return_inverse=True)
    num_classes = int(classes.max()) + 1
    centres = np.stack([features[inside[classes == each]].mean(axis=0) for each in range(num_classes)])
    pairs = np.argwhere(near_pairs(centres, centres, threshold=threshold))
    joined = _connected(pairs, num_classes)[classes]
    _, first, joined = np.unique(joined, return_index=True, return_inverse=True)
    result[inside] = np.argsort(np.argsort(first))[joined]
    return result
