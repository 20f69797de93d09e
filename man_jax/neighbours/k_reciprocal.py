"""k-reciprocal neighbourhoods of samples, their encoding as sparse rows, and how little two of them overlap.

Source: Zhong et al., "Re-ranking person re-identification with k-reciprocal encoding", CVPR 2017. The clustering of
targets and the re-ranking of galleries both stand on it (NumPy and SciPy, on the host).
"""

import numpy as np
from jaxtyping import Float, Int32
from scipy.sparse import csr_array

from man_jax.neighbours import nearest as blocks


def reciprocal_neighbours(nearest: Int32[np.ndarray, "N k"]) -> csr_array:
    """Make R(i, k), a matrix of zeros and ones [N, N]."""
    num_samples, k = nearest.shape
    is_mutual = np.stack(
        [(nearest[nearest[:, rank]] == np.arange(num_samples)[:, None]).any(axis=1) for rank in range(k)],
        axis=1,
    )
    i, rank = np.nonzero(is_mutual)
    return csr_array((np.ones(len(i), np.int32), (i, nearest[i, rank])), shape=(num_samples, num_samples))


def expanded_neighbours(nearest: Int32[np.ndarray, "N k"], k1: int) -> csr_array:
    """Make R*(i), a matrix [N, N] whose members are the entries that are not zero.

        R*(i) = R(i, k) and each R(c, k1/2 + 1), c in R(i, k), of which more than 2/3 lies in R(i, k)

    k is the width of `nearest`; k1/2 is rounded, halves to the even number.
    """
    neighbours = reciprocal_neighbours(nearest)
    closer = reciprocal_neighbours(nearest[:, : int(np.around(k1 / 2)) + 1])
    sizes = np.diff(closer.indptr)
    common = (neighbours @ closer.T).multiply(neighbours).tocoo()
    c = common.coords[1]
    is_near = 3 * common.data > 2 * sizes[c]
    added = csr_array(
        (is_near[is_near].astype(np.int32), tuple(axis[is_near] for axis in common.coords)), common.shape
    )
    return csr_array(neighbours + added @ closer)


def encode(
    rows: Float[np.ndarray, "N D"], expanded: csr_array, scale: Float[np.ndarray, " N"] | None = None
) -> csr_array:
    """Make V, the softmax over the members of each row of minus their squared distance, |f_i - f_j|^2 = 2 - 2 f_i.f_j.

    `scale`, if given, is what the distances of each row are divided by.
    """
    num_samples, dim = rows.shape
    expanded.sort_indices()
    i = np.repeat(np.arange(num_samples), np.diff(expanded.indptr))
    j = expanded.indices
    similarity = np.empty(len(i))
    length = max(1, blocks.BLOCK_ENTRIES // dim)
    for start in range(0, len(i), length):
        part = slice(start, start + length)
        similarity[part] = np.einsum("ed,ed->e", rows[i[part]], rows[j[part]])
    exponents = 2.0 * similarity - 2.0
    weights = np.exp(exponents if scale is None else exponents / scale[i])
    totals = np.bincount(i, weights, minlength=num_samples)
    return csr_array((weights / totals[i], j, expanded.indptr), shape=expanded.shape)


def mean_of_neighbours(encoding: csr_array, nearest: Int32[np.ndarray, "N k2"]) -> csr_array:
    """Average V over the k2 nearest neighbours of each sample."""
    num_samples, k2 = nearest.shape
    i = np.repeat(np.arange(num_samples), k2)
    averaging = csr_array((np.full(nearest.size, 1.0 / k2), (i, nearest.ravel())), shape=encoding.shape)
    return csr_array(averaging @ encoding)


def overlap_distances(encoding: csr_array, others: csr_array) -> Float[np.ndarray, "A B"]:
    """Compute d(i, j) = 1 - s / (2 - s), s = sum_c min(V_ic, V_jc), of rows i of V [A, N] and j of `others` [B, N].

    It goes a row at a time; only columns that row i holds add to its sums.
    """
    num_rows, num_others = len(encoding.indptr) - 1, len(others.indptr) - 1
    encoding.sort_indices()
    holders = csr_array(others.T)  # of each column: which rows hold it, and how much
    lengths = np.diff(holders.indptr)
    distances = np.empty((num_rows, num_others), np.float32)
    for i in range(num_rows):
        part = slice(encoding.indptr[i], encoding.indptr[i + 1])
        columns, own = encoding.indices[part], encoding.data[part]
        entries = _ranges(holders.indptr[columns], lengths[columns])
        smaller = np.minimum(holders.data[entries], np.repeat(own, lengths[columns]))
        shared = np.bincount(holders.indices[entries], smaller, minlength=num_others)
        distances[i] = np.clip(1.0 - shared / (2.0 - shared), 0.0, 1.0)
    return distances


def _ranges(starts: Int32[np.ndarray, " r"], lengths: Int32[np.ndarray, " r"]) -> np.ndarray:
    """List start, start + 1, ..., start + length - 1 of each range, one after the other."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1]) + np.repeat(starts - (ends - lengths), lengths)
