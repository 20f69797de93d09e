"""Density-based clustering of samples whose distances are known (NumPy and SciPy, on the host)."""

import numpy as np
from jaxtyping import Int32
from numpy.typing import ArrayLike
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from man_jax.clustering.given_distances import check_distances, check_symmetric
from man_jax.clustering.sizes import OUTLIER


def dbscan(distances: ArrayLike, *, eps: float, min_samples: int = 4) -> Int32[np.ndarray, " N"]:
    """Label samples [N] by DBSCAN from their distances [N, N]; an outlier is -1.

        near(i, j)  = d(i, j) <= eps or i = j
        core(i)     = i is near at least min_samples samples, itself among them
        a cluster   = core samples that are connected by near ones, and the samples near any of them

    Clusters are numbered in the order of their first core samples. A sample that is not core and near to several
    clusters goes to the one with the smallest number. These are the labels of scikit-learn's DBSCAN.

    It takes N^2 bytes (75 MB for N = 8,700) and about 60 bytes a pair of near samples.

    Raises:
        ValueError: the distances are not square, not symmetric, negative or not finite; eps < 0; min_samples < 1.

    Source: Ester et al., "A density-based algorithm for discovering clusters", KDD 1996.
    Differs from the source: there the order of visits decides on a sample between two clusters.
    """
    near = _near(np.asarray(distances), eps=eps, min_samples=min_samples)
    is_core = np.count_nonzero(near, axis=1) >= min_samples
    core = np.flatnonzero(is_core)
    labels = np.full(len(near), OUTLIER, np.int32)
    if len(core) == 0:
        return labels
    one, other = np.nonzero(near)
    inside = is_core[one] & is_core[other]
    graph = coo_array((np.ones(inside.sum(), bool), (one[inside], other[inside])), shape=near.shape)
    _, component = connected_components(graph, directed=False)
    _, first, component = np.unique(component[core], return_index=True, return_inverse=True)
    number = np.argsort(np.argsort(first))  # SciPy does not promise an order of its components
    labels[core] = number[component]
    at_border = ~is_core[one] & is_core[other]
    smallest = np.full(len(near), len(core), np.int32)
    np.minimum.at(smallest, one[at_border], labels[other[at_border]])
    return np.where(smallest < len(core), smallest, labels)


def _near(distances: np.ndarray, *, eps: float, min_samples: int) -> np.ndarray:
    check_distances(distances)
    if not (np.isfinite(eps) and eps >= 0):
        raise ValueError(f"eps is {eps}; choose a distance eps >= 0")
    if min_samples < 1:
        raise ValueError(f"min_samples is {min_samples}; choose min_samples >= 1, a sample counts itself")
    near = distances <= float(eps)  # a Python number: it is compared in the type of the distances
    check_symmetric(near, distances, where=f", on both sides of eps = {eps}")
    np.fill_diagonal(near, True)
    return near
