"""Keep the numbers of clusters from epoch to epoch, so that what was learnt of a cluster outlives the re-clustering."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32, Integer

from man_jax.clustering.matching import match_clusters


class Continued(NamedTuple):
    """Clusters with the numbers of the epoch before where they match."""

    labels: Int32[np.ndarray, " N"]
    kept: Bool[np.ndarray, " K"]
    """Which numbers mean the cluster that they meant in the epoch before."""


def continue_numbers(
    labels: Integer[np.ndarray, " N"],
    last: Integer[np.ndarray, " N"],
    *,
    capacity: int,
    least_shared: float = 0.5,
) -> Continued:
    """Give each cluster the number of the last epoch's cluster with which it shares most samples.

        assignment = argmax Σ_i |A_i ∩ B_a(i)| over one-to-one assignments a (Hungarian method)
        kept(i)    = |A_i ∩ B_a(i)| >= s |A_i ∪ B_a(i)|,   s = least_shared

    A are the clusters now, B those of the last epoch; a label of −1 is no cluster in either. A cluster that is not kept
    has the number of its match too, but with a new meaning.

    Args:
        labels, last: cluster of each sample, below `capacity`, now and in the last epoch.
        capacity: how many numbers there are, K.
        least_shared: the share of common samples from which two clusters are the same one, above 0.
    """
    now, before = np.asarray(labels, np.int64), np.asarray(last, np.int64)
    sizes_now = np.bincount(now[now >= 0], minlength=capacity)
    sizes_before = np.bincount(before[before >= 0], minlength=capacity)
    _, number, common = match_clusters(now, before, num_one=capacity, num_other=capacity)
    union = sizes_now + sizes_before[number] - common
    is_kept = (common > 0) & (common >= least_shared * union)
    kept = np.zeros(capacity, bool)
    kept[number[is_kept]] = True
    renamed = np.where(now >= 0, number[np.clip(now, 0, None)], -1)
    return Continued(renamed.astype(np.int32), kept)
