"""Move each query towards its nearest gallery entries before the gallery is ranked (NumPy and SciPy, on the host).

Sources: Chum et al., "Total recall: automatic query expansion with a generative feature model for object retrieval",
ICCV 2007 (the average); Radenovic et al., "Fine-tuning CNN image retrieval with no human annotation", TPAMI 2019 (α).
"""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from man_jax.neighbours import nearest as blocks
from man_jax.neighbours.nearest import find_largest, unit_rows
from man_jax.retrieval.settings import Expansion


def expand_queries(query: ArrayLike, gallery: ArrayLike, settings: Expansion) -> Float[np.ndarray, "Q D"]:
    """Add to each query [Q, D] its k nearest entries of the gallery [G, D], and make it unit again: float32.

        q' = Unit(q + sum_j max(q.g_j, 0)^alpha g_j),   j over the k largest q.g_j

    The features are made unit first. Entries at equal distance keep the order of the gallery. A removal rule plays no
    part: it needs identities, which nobody has when queries are expanded.

    Raises:
        ValueError: the features are of other shapes or not finite, or a setting is out of range.

    Differs from the sources: a negative similarity counts as 0, because its power need not be a number; spatial
    verification, which the first source begins with, is for local features.
    """
    queries, entries = unit_rows(query), unit_rows(gallery)
    if queries.shape[1] != entries.shape[1]:
        raise ValueError(f"features must be [Q, D] and [G, D], got {queries.shape} and {entries.shape}")
    settings.check(num_gallery := len(entries))
    height = max(1, blocks.BLOCK_ENTRIES // num_gallery)
    for start in range(0, len(queries), height):
        block = queries[start : start + height]
        similarity = block @ entries.T
        nearest = find_largest(similarity, settings.k)
        weights = np.maximum(np.take_along_axis(similarity, nearest, axis=1), 0.0) ** np.float32(
            settings.alpha
        )
        ends = np.arange(0, nearest.size + 1, settings.k)
        added = csr_array((weights.ravel(), nearest.ravel(), ends), shape=similarity.shape)
        queries[start : start + height] = block + added @ entries
    return unit_rows(queries)
