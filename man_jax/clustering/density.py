"""Cluster features by density on their k-reciprocal Jaccard distance, as many unsupervised methods do (on the host)."""

import numpy as np
from jaxtyping import Float, Int32

from man_jax.clustering.dbscan import dbscan
from man_jax.clustering.jaccard import jaccard_distances
from man_jax.clustering.sizes import keep_largest


def density_clusters(
    features: Float[np.ndarray, "N D"], *, k1: int, k2: int, eps: float, min_samples: int, most: int
) -> Int32[np.ndarray, " N"]:
    """Label samples by DBSCAN on their Jaccard distances; −1 in no cluster. The `most` largest clusters are kept.

    With fewer samples than `k1`, k1 is their number, and k2 is at most k1.

    Raises:
        ValueError: as `jaccard_distances` and `dbscan`.
    """
    k1 = min(k1, len(features))
    distances = jaccard_distances(features, k1=k1, k2=min(k2, k1))
    return keep_largest(dbscan(distances, eps=eps, min_samples=min_samples), most=most)
