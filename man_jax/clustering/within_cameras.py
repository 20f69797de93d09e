"""Cluster the samples of each camera by themselves (on the host)."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int, Int32

from man_jax.clustering.dbscan import dbscan
from man_jax.clustering.jaccard import jaccard_distances
from man_jax.clustering.sizes import OUTLIER


def cluster_within_cameras(
    features: Float[np.ndarray, "N D"],
    cameras: Int[np.ndarray, " N"],
    cluster: Callable[[Float[np.ndarray, "n D"], int], Int32[np.ndarray, " n"]],
) -> Int32[np.ndarray, " N"]:
    """Label samples by clusters of their camera; no number is in two cameras, and an outlier has −1.

    `cluster` gets the features of a camera and the place of the camera among them, and numbers its clusters from 0.
    """
    labels = np.full(len(features), OUTLIER, np.int32)
    first = 0
    for place, camera in enumerate(np.unique(cameras)):
        rows = np.flatnonzero(cameras == camera)
        found = cluster(features[rows], place)
        labels[rows] = np.where(found >= 0, found + first, OUTLIER)
        first = max(first, int(labels[rows].max(initial=-1)) + 1)
    return labels


def clusters_of_nearest(
    features: Float[np.ndarray, "n D"], *, k1: int, k2: int, share: float, min_samples: int
) -> Int32[np.ndarray, " n"]:
    """Label samples by DBSCAN on their Jaccard distances, with the eps of the nearest pairs; −1 in no cluster.

        eps = mean of the smallest `share` of the distances above 0 of all pairs; of one distance at least

    With fewer samples than `k1`, k1 is their number, and k2 is at most k1.

    Source: Song et al., "Unsupervised domain adaptive re-identification: theory and practice", 2020, in the form of
    LRIMV's code.
    Differs from the source: where the share is less than one distance, its code takes 16 times the share first.
    """
    k1 = min(k1, len(features))
    distances = jaccard_distances(features, k1=k1, k2=min(k2, k1))
    of_pairs = np.sort(distances[np.triu_indices(len(distances), 1)])
    of_pairs = of_pairs[of_pairs > 0]
    nearest = of_pairs[: max(1, round(share * len(of_pairs)))]
    eps = float(nearest.mean(dtype=np.float64)) if len(nearest) else 0.0
    return dbscan(distances, eps=eps, min_samples=min_samples)
