"""Lloyd's iterations on unit vectors (Eq. 1 and 3), sample by sample, from given centres."""

import numpy as np

from tests.oracles.geometry import Array, dot, squared_distance, unit


def nearest(features: Array, centres: Array) -> tuple[list[int], list[float]]:
    """The centre of the largest cosine of every sample, the first of equals, and that cosine."""
    labels, cosines = [], []
    for row in features:
        to_each = [dot(row, centre) for centre in centres]
        labels.append(to_each.index(max(to_each)))
        cosines.append(max(to_each))
    return labels, cosines


def lloyd(features: Array, centres: Array, *, max_iterations: int, tolerance: float):
    """(labels, centres, inertia, iterations); an empty cluster takes the farthest sample that no other took."""
    iterations, shift, changed = 0, float("inf"), True
    labels, cosines = nearest(features, centres)
    while iterations < max_iterations and shift > tolerance and changed:
        far_first = sorted(range(len(features)), key=lambda i: cosines[i])
        moved = []
        for k in range(len(centres)):
            members = [row for row, label in zip(features, labels, strict=True) if label == k]
            moved.append(
                unit(sum(members)) if members else np.asarray(features[far_first.pop(0)], np.float64)
            )
        shift = sum(squared_distance(a, b) for a, b in zip(moved, centres, strict=True)) / len(centres)
        centres, iterations, before = np.array(moved), iterations + 1, labels
        labels, cosines = nearest(features, centres)
        changed = list(labels) != list(before)
    return labels, centres, sum(1 - cosine for cosine in cosines), iterations


def greedy_seeds(features: Array, first: int, rounds, num_clusters: int, at_once: int) -> Array:
    """Seeds of rounds of candidates: of each round up to `at_once`, each the one that leaves the least distance."""
    chosen = [first]
    distance = [[max(0.0, 1 - dot(row, other)) for other in features] for row in features]

    def left(seeds: list[int]) -> float:
        return sum(min(of_row[seed] for seed in seeds) for of_row in distance)

    for candidates in rounds:
        for _ in range(at_once):
            if len(chosen) < num_clusters:
                chosen.append(min(candidates, key=lambda i: left([*chosen, i])))
    return np.array([features[seed] for seed in chosen], np.float64)
