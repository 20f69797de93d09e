"""k-reciprocal re-ranking of a gallery (NumPy and SciPy, on the host).

Source: Zhong et al., "Re-ranking person re-identification with k-reciprocal encoding", CVPR 2017.
"""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from man_jax.neighbours.k_reciprocal import encode, expanded_neighbours, mean_of_neighbours, overlap_distances
from man_jax.neighbours.nearest import find_nearest, unit_rows
from man_jax.retrieval.distances import query_gallery_distances
from man_jax.retrieval.settings import Reranking

COINCIDE = 1e-6
"""A squared distance of unit features in float32 that is no more than rounding."""


def rerank(
    query: ArrayLike, gallery: ArrayLike, settings: Reranking | None = None
) -> Float[np.ndarray, "Q G"]:
    """Compute re-ranked distances of features [Q, D] and [G, D]: float32, in [0, 1].

        D(i, j) = |f_i - f_j|^2 / max_j' |f_i - f_j'|^2,   over all Q + G samples
        V_i     = softmax over R*(i) of -D(i, j), then the mean of V over the k2 nearest of i
        d(q, g) = (1 - λ) (1 - s / (2 - s)) + λ D(q, g),   s = sum_c min(V_qc, V_gc)

    R*(i) is the expanded k-reciprocal neighbourhood of i among all samples (`neighbours.k_reciprocal`), of the k1
    nearest and i itself. The features are made unit first. A removal rule plays no part: it needs identities, which
    nobody has when galleries are ranked.

    It holds the unit features, 4 (Q + G) D bytes, twice the result, 8 Q G bytes, blocks of about 50 MB, and the
    neighbourhoods, which are sparse.

    Raises:
        ValueError: the features are of other shapes or not finite, or a setting is out of range.

    Differs from the public code: a sample that coincides with others is its own first neighbour (there, chance
    decides); half precision is used nowhere; where all samples coincide, D is 0 instead of NaN.
    """
    query, gallery = np.asarray(query, np.float32), np.asarray(gallery, np.float32)
    if query.ndim != 2 or gallery.ndim != 2 or query.shape[1] != gallery.shape[1]:
        raise ValueError(f"features must be [Q, D] and [G, D], got {query.shape} and {gallery.shape}")
    settings = settings or Reranking()
    num_queries = len(query)
    settings.check(num_queries + len(gallery))
    k1, k2, weight = settings
    rows = unit_rows(np.concatenate([query, gallery]))
    nearest, least = find_nearest(rows, k1 + 1)
    farthest = 2.0 - 2.0 * least
    scale = np.where(farthest > COINCIDE, farthest, 1.0)
    encoding = encode(rows, expanded_neighbours(nearest, k1), scale)
    encoding = mean_of_neighbours(encoding, nearest[:, :k2])
    distances = overlap_distances(encoding[:num_queries], encoding[num_queries:])
    distances *= 1.0 - weight
    original = query_gallery_distances(rows[:num_queries], rows[num_queries:])
    original *= weight / scale[:num_queries, None].astype(np.float32)
    distances += original
    return distances
