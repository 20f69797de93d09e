"""A distance between samples on whose neighbourhoods several modalities agree (NumPy and SciPy, on the host)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array

from man_jax.clustering.jaccard import jaccard_distances, mutual_neighbours


def consensus_distances(
    modal: Sequence[Float[np.ndarray, "N D"]],
    fused: Float[np.ndarray, "N F"],
    *,
    k1: int = 30,
    k2: int = 6,
    vote: float = 0.05,
) -> Float[np.ndarray, "N N"]:
    """Compute the Jaccard distance of the fused features, whose neighbours the modalities help to choose.

        a_m(i, j) = 1 if i and j are among the 2 k1 nearest of each other in modality m, else 0
        s(i, j)   = cos(i, j) of the fused features + vote * sum_m a_m(i, j)

    The k1 nearest of a sample are those of the largest s, and the rest is as in `jaccard_distances`. So the modalities
    agree before a cluster is decided on, where CPA compares clusterings that are finished. Twice k1 neighbours vote,
    at most N, because a single modality ranks the right ones lower than the fusion does. With a `vote` of 0 this is
    `jaccard_distances`.

    Besides what that takes, it holds the unit features of one modality and at most 24 M N k1 bytes of votes.

    Raises:
        ValueError: as `jaccard_distances`.

    Source: ours; the paper names a clustering made for several modalities as future work.
    """
    return jaccard_distances(fused, k1=k1, k2=k2, added=neighbour_votes(modal, k=2 * k1) * np.float32(vote))


def neighbour_votes(modal: Sequence[Float[np.ndarray, "N D"]], *, k: int) -> csr_array:
    """Count, for each two samples, the modalities in which they are among the k nearest of each other."""
    first, *others = (mutual_neighbours(table, k=min(k, len(table))) for table in modal)
    return sum(others, start=first)
