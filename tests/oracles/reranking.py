"""k-reciprocal re-ranking, one pair of samples and one neighbour at a time, in float64."""

import math

import numpy as np

from tests.oracles.geometry import Array, squared_distance, unit_rows


def reranked(query: Array, gallery: Array, k1: int, k2: int, weight: float) -> Array:
    rows = unit_rows(np.concatenate([query, gallery]))
    samples = range(len(rows))
    original = [[squared_distance(rows[i], rows[j]) for j in samples] for i in samples]
    scaled = [[value / max(row) for value in row] for row in original]
    ranks = [sorted(samples, key=lambda j, i=i: (j != i, original[i][j])) for i in samples]

    def reciprocal(i: int, k: int) -> set[int]:
        """Those of the k nearest besides i, and i itself, that have i among theirs."""
        return {j for j in ranks[i][: k + 1] if i in ranks[j][: k + 1]}

    encoded = []
    for i in samples:
        own = reciprocal(i, k1)
        members = set(own)
        for candidate in own:
            theirs = reciprocal(candidate, round(k1 / 2))  # Python rounds halves to the even number
            if 3 * len(theirs & own) > 2 * len(theirs):
                members |= theirs
        scores = {j: math.exp(-scaled[i][j]) for j in members}
        encoded.append({j: score / math.fsum(scores.values()) for j, score in scores.items()})
    smooth = [
        [math.fsum(encoded[n].get(c, 0.0) for n in ranks[i][:k2]) / k2 for c in samples] for i in samples
    ]
    result = np.zeros((len(query), len(gallery)))
    for q in range(len(query)):
        for g in range(len(gallery)):
            other = len(query) + g
            shared = math.fsum(min(a, b) for a, b in zip(smooth[q], smooth[other], strict=True))
            result[q, g] = (1 - weight) * (1 - shared / (2 - shared)) + weight * scaled[q][other]
    return result
