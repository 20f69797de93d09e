"""The k-reciprocal Jaccard distance of all pairs of samples (NumPy and SciPy, on the host).

Source: Zhong et al., "Re-ranking person re-identification with k-reciprocal encoding", CVPR 2017, in the form in which
SpCL and cluster-contrast compute it for clustering.
"""

import numpy as np
from jaxtyping import Float, Int32
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

BLOCK_ENTRIES = 4_000_000
"""How many numbers a block holds at once: similarities [rows, N], or features [pairs, D]."""


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
    the neighbourhoods, which are sparse.

    Raises:
        ValueError: the features are not [N, D] or not finite, or 1 <= k2 <= k1 <= N does not hold.

    Differs from the source: a sample that coincides with others is its own first neighbour too (there, chance
    decides); V is kept in float64, so that d(i, j) and d(j, i) are the same number.
    """
    rows = _unit_rows(features)
    _check_counts(len(rows), k1=k1, k2=k2)
    nearest = _nearest(rows, k1, added)
    expanded = _expanded_neighbours(nearest, k1)
    encoding = _mean_of_neighbours(_encoding(rows, expanded), nearest[:, :k2])
    return _overlap_distances(encoding)


def _unit_rows(features: ArrayLike) -> Float[np.ndarray, "N D"]:
    rows = np.asarray(features, np.float32)
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(
            f"features have the shape {rows.shape}; give one row a sample, [N, D], and at least one"
        )
    broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(broken):
        raise ValueError(
            f"the features of {len(broken)} of {len(rows)} samples are not finite, the first is sample "
            f"{broken[0]}; look for NaN in the network's output"
        )
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _check_counts(num_samples: int, *, k1: int, k2: int) -> None:
    if not 1 <= k1 <= num_samples:
        raise ValueError(
            f"k1 is {k1}, but there are {num_samples} samples to have neighbours; choose 1 <= k1 <= {num_samples}"
        )
    if not 1 <= k2 <= k1:
        raise ValueError(f"k2 is {k2}, but only k1 = {k1} neighbours are searched; choose 1 <= k2 <= {k1}")


def mutual_neighbours(features: ArrayLike, *, k: int) -> csr_array:
    """Make R(i, k) of the features [N, D]: 1 for each two samples that are among the k nearest of each other, else 0.

    Raises:
        ValueError: the features are not [N, D] or not finite, or 1 <= k <= N does not hold.
    """
    rows = _unit_rows(features)
    _check_counts(len(rows), k1=k, k2=1)
    return _reciprocal(_nearest(rows, k))


def _nearest(
    rows: Float[np.ndarray, "N D"], k1: int, added: csr_array | None = None
) -> Int32[np.ndarray, "N k1"]:
    """Find the k1 nearest neighbours of every sample, nearest first; the sample itself comes before all."""
    num_samples = len(rows)
    nearest = np.empty((num_samples, k1), np.int32)
    height = max(1, BLOCK_ENTRIES // num_samples)
    for start in range(0, num_samples, height):
        block = np.arange(start, min(start + height, num_samples))
        similarity = rows[block] @ rows.T
        if added is not None:
            similarity += added[block].toarray()
        similarity[np.arange(len(block)), block] = np.inf
        nearest[block] = _largest(similarity, k1)
    return nearest


def _largest(similarity: Float[np.ndarray, "b N"], k1: int) -> Int32[np.ndarray, "b k1"]:
    """Find the columns of the k1 largest values of each row, largest first; equal ones by column."""
    smallest_kept = np.partition(similarity, -k1, axis=1)[:, -k1]
    above = similarity > smallest_kept[:, None]
    # A partition does not say which of several equal last values are kept; here the first are.
    equal = similarity == smallest_kept[:, None]
    kept = above | (equal & (np.cumsum(equal, axis=1) <= k1 - above.sum(axis=1, keepdims=True)))
    columns = np.nonzero(kept)[1].reshape(-1, k1)
    order = np.argsort(-np.take_along_axis(similarity, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1).astype(np.int32)


def _reciprocal(nearest: Int32[np.ndarray, "N k"]) -> csr_array:
    """Make R(i, k), a matrix of zeros and ones [N, N]."""
    num_samples, k = nearest.shape
    is_mutual = np.stack(
        [(nearest[nearest[:, rank]] == np.arange(num_samples)[:, None]).any(axis=1) for rank in range(k)],
        axis=1,
    )
    i, rank = np.nonzero(is_mutual)
    return csr_array((np.ones(len(i), np.int32), (i, nearest[i, rank])), shape=(num_samples, num_samples))


def _expanded_neighbours(nearest: Int32[np.ndarray, "N k1"], k1: int) -> csr_array:
    """Make R*(i), a matrix [N, N] whose members are the entries that are not zero."""
    neighbours = _reciprocal(nearest)
    closer = _reciprocal(nearest[:, : int(np.around(k1 / 2)) + 1])
    sizes = np.diff(closer.indptr)
    common = (neighbours @ closer.T).multiply(neighbours).tocoo()
    c = common.coords[1]
    is_near = 3 * common.data > 2 * sizes[c]
    added = csr_array(
        (is_near[is_near].astype(np.int32), tuple(axis[is_near] for axis in common.coords)), common.shape
    )
    return csr_array(neighbours + added @ closer)


def _encoding(rows: Float[np.ndarray, "N D"], expanded: csr_array) -> csr_array:
    """Compute V before the mean: softmax of -|f_i - f_j|^2 = 2 f_i.f_j - 2 over the members of each row."""
    num_samples, dim = rows.shape
    expanded.sort_indices()
    i = np.repeat(np.arange(num_samples), np.diff(expanded.indptr))
    j = expanded.indices
    similarity = np.empty(len(i))
    length = max(1, BLOCK_ENTRIES // dim)
    for start in range(0, len(i), length):
        part = slice(start, start + length)
        similarity[part] = np.einsum("ed,ed->e", rows[i[part]], rows[j[part]])
    weights = np.exp(2.0 * similarity - 2.0)
    totals = np.bincount(i, weights, minlength=num_samples)
    return csr_array((weights / totals[i], j, expanded.indptr), shape=expanded.shape)


def _mean_of_neighbours(encoding: csr_array, nearest: Int32[np.ndarray, "N k2"]) -> csr_array:
    """Average V over the k2 nearest neighbours of each sample."""
    num_samples, k2 = nearest.shape
    i = np.repeat(np.arange(num_samples), k2)
    averaging = csr_array((np.full(nearest.size, 1.0 / k2), (i, nearest.ravel())), shape=encoding.shape)
    return csr_array(averaging @ encoding)


def _overlap_distances(encoding: csr_array) -> Float[np.ndarray, "N N"]:
    """Compute d(i, j) of all rows of V, a row at a time; only columns that row i holds add to its sums."""
    num_samples = len(encoding.indptr) - 1
    encoding.sort_indices()
    holders = csr_array(encoding.T)  # of each column: which rows hold it, and how much
    lengths = np.diff(holders.indptr)
    distances = np.empty((num_samples, num_samples), np.float32)
    for i in range(num_samples):
        part = slice(encoding.indptr[i], encoding.indptr[i + 1])
        columns, own = encoding.indices[part], encoding.data[part]
        entries = _ranges(holders.indptr[columns], lengths[columns])
        smaller = np.minimum(holders.data[entries], np.repeat(own, lengths[columns]))
        shared = np.bincount(holders.indices[entries], smaller, minlength=num_samples)
        distances[i] = np.clip(1.0 - shared / (2.0 - shared), 0.0, 1.0)
    return distances


def _ranges(starts: Int32[np.ndarray, " r"], lengths: Int32[np.ndarray, " r"]) -> np.ndarray:
    """List start, start + 1, ..., start + length - 1 of each range, one after the other."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1]) + np.repeat(starts - (ends - lengths), lengths)
