"""The k-reciprocal Jaccard distance of all pairs of samples; only the nearest neighbours are searched on the device.

Source: Zhong et al., "Re-ranking person re-identification with k-reciprocal encoding", CVPR 2017, in the form in which
SpCL and cluster-contrast compute it for clustering.
"""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from man_jax.neighbours.k_reciprocal import (
    encode,
    expanded_neighbours,
    mean_of_neighbours,
    overlap_distances,
    reciprocal_neighbours,
)
from man_jax.neighbours.nearest import check_counts, find_nearest, unit_rows


def jaccard_distances(
    features: ArrayLike, *, k1: int = 30, k2: int = 6, added: csr_array | None = None
) -> Float[np.ndarray, "N N"]:
    """Compute how little the neighbourhoods of two samples overlap: float32, symmetric, in [0, 1].

        R(i, k) = {j : j is one of the k nearest of i, and i one of the k nearest of j}
        R*(i)   = R(i, k1) and each R(c, k1/2 + 1), c in R(i, k1), of which more than 2/3 lies in R(i, k1)
        V_i     = softmax over R*(i) of -|f_i - f_j|^2, then the mean of V over the k2 nearest of i
        d(i, j) = 1 - s / (2 - s),   s = sum_c min(V_ic, V_jc)

    The features [N, D] are made unit first. A sample is its own first neighbour and counts as one of k1 and of k2;
    neighbours at equal distance keep the order of the samples. k1/2 is rounded, halves to the even number.

    `added`, sparse and symmetric [N, N], is added to the cosines when neighbours are searched, for example what other
    features say of a pair; V weighs the neighbours by the features alone.

    It holds the result, 4 N^2 bytes (300 MB for N = 8,700), the unit features, 4 N D bytes, blocks of about 50 MB, and
    the neighbourhoods, which are sparse; the device holds the unit features and a block.

    Raises:
        ValueError: the features are not [N, D] or not finite, or 1 <= k2 <= k1 <= N does not hold.

    Differs from the source: a sample that coincides with others is its own first neighbour too (there, chance
    decides); V is kept in float64, so that d(i, j) and d(j, i) are the same number.
    """
    rows = unit_rows(features)
    check_counts(len(rows), k1=k1, k2=k2)
    nearest = find_nearest(rows, k1, added).nearest
    expanded = expanded_neighbours(nearest, k1)
    encoding = mean_of_neighbours(encode(rows, expanded), nearest[:, :k2])
    return overlap_distances(encoding, encoding)


def mutual_neighbours(features: ArrayLike, *, k: int) -> csr_array:
    """Make R(i, k) of the features [N, D]: 1 for each two samples that are among the k nearest of each other, else 0.

    Raises:
        ValueError: the features are not [N, D] or not finite, or 1 <= k <= N does not hold.
    """
    rows = unit_rows(features)
    check_counts(len(rows), k1=k, k2=1)
    return reciprocal_neighbours(find_nearest(rows, k).nearest)
