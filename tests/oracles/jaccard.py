"""The k-reciprocal Jaccard distance, one pair of samples and one neighbour at a time."""

import math

import numpy as np

from tests.oracles.geometry import Array, dot, squared_distance, unit_rows


def nearest(rows: Array, i: int, bonus: Array | None = None) -> list[int]:
    """All samples, nearest first; i itself before all, equal ones in their order."""

    def similarity(j: int) -> float:
        return dot(rows[i], rows[j]) + (0.0 if bonus is None else bonus[i][j])

    return sorted(range(len(rows)), key=lambda j: (j != i, -similarity(j)))


def votes(tables, k: int) -> Array:
    """How many of the tables have two samples among the k nearest of each other."""
    num_samples = len(tables[0])
    counted = np.zeros((num_samples, num_samples))
    for table in map(unit_rows, tables):
        near = [set(nearest(table, i)[:k]) for i in range(num_samples)]
        for i in range(num_samples):
            for j in range(num_samples):
                counted[i, j] += j in near[i] and i in near[j]
    return counted


def jaccard_distances(features: Array, k1: int, k2: int, bonus: Array | None = None) -> Array:
    rows = unit_rows(features)
    samples = range(len(rows))
    ranks = [nearest(rows, i, bonus) for i in samples]

    def reciprocal(i: int, k: int) -> set[int]:
        return {j for j in ranks[i][:k] if i in ranks[j][:k]}

    half = k1 // 2 if k1 % 2 == 0 else (k1 // 2 if (k1 // 2) % 2 == 0 else k1 // 2 + 1)  # halves to even
    encoded = []
    for i in samples:
        own = reciprocal(i, k1)
        members = set(own)
        for candidate in own:
            theirs = reciprocal(candidate, half + 1)
            if 3 * len(theirs & own) > 2 * len(theirs):
                members |= theirs
        scores = {j: math.exp(-squared_distance(rows[i], rows[j])) for j in members}
        encoded.append({j: score / sum(scores.values()) for j, score in scores.items()})
    smoothed = [[sum(encoded[n].get(c, 0.0) for n in ranks[i][:k2]) / k2 for c in samples] for i in samples]
    distances = np.zeros((len(rows), len(rows)))
    for i in samples:
        for j in samples:
            shared = sum(min(a, b) for a, b in zip(smoothed[i], smoothed[j], strict=True))
            distances[i, j] = 1 - shared / (2 - shared)
    return distances
