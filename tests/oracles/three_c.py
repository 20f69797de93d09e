"""3C: camera entropy, the memory's move, and harmonic discrepancy clustering, one number at a time."""

import cmath
import math

import numpy as np

from tests.oracles.contrastive import info_nce
from tests.oracles.geometry import Array, dot, unit


def camera_entropy_weights(labels, cameras, mask) -> list[float]:
    rows = [(int(y), int(c)) for y, c, there in zip(labels, cameras, mask, strict=True) if there]
    diversity = {}
    for y in {y for y, _ in rows}:
        of_cluster = [c for each, c in rows if each == y]
        shares = [of_cluster.count(c) / len(of_cluster) for c in set(of_cluster)]
        diversity[y] = math.exp(-sum(p * math.log2(p) for p in shares))
    total = sum(diversity.values())
    return [
        len(diversity) * diversity[int(y)] / total if there else 0.0
        for y, there in zip(labels, mask, strict=True)
    ]


def contrast(features: Array, centres: Array, labels, cameras, exists, weight, temperature: float) -> float:
    part = [
        float(w) if w > 0 and 0 <= y < len(centres) and exists[y] else 0.0
        for y, w in zip(labels, weight, strict=True)
    ]
    trusted = camera_entropy_weights(labels, cameras, [w > 0 for w in part])
    total = sum(
        w * v * info_nce(features[i : i + 1], centres, labels[i : i + 1], exists, [1.0], temperature)
        for i, (w, v) in enumerate(zip(part, trusted, strict=True))
    )
    return total / sum(part) if sum(part) else 0.0


def update(values: Array, features: Array, labels, cameras, exists, weight, momentum: float) -> Array:
    moved = values.copy()
    rows = [i for i in range(len(labels)) if weight[i] > 0]
    for k in range(len(values)):
        best, largest = None, -math.inf
        for i in rows:
            if labels[i] != k or not exists[k]:
                continue
            group = unit(sum(features[j] for j in rows if (labels[j], cameras[j]) == (k, cameras[i])))
            a, b = 1 + dot(features[i], group), 1 - dot(features[i], values[k])
            if a * b / (a + b) > largest:
                best, largest = i, a * b / (a + b)
        if best is not None:
            moved[k] = unit(momentum * values[k] + (1 - momentum) * features[best])
    return moved


def confidence(features: Array, centres: Array) -> Array:
    def angle(x: float) -> complex:
        return cmath.exp(1.9j * math.pi * float(x)) / math.sqrt(2)

    distance = np.array(
        [
            [
                abs(sum((angle(x) - angle(c)) ** 2 for x, c in zip(row, centre, strict=True)))
                for centre in centres
            ]
            for row in features
        ]
    )
    return np.exp(-5 * distance / distance.max())


def to_clusters(discrepancies: Array, trust: Array, labels) -> Array:
    """HD of every sample to every cluster; 1 − 1/e to one without members."""
    found = np.full(trust.shape, 1 - math.exp(-1))
    for i in range(len(labels)):
        for c in range(trust.shape[1]):
            largest = -1.0
            for j in range(len(labels)):
                if labels[j] == c:
                    d, t = discrepancies[i][j], trust[j][c]
                    if d * t / (d + t) > largest:
                        largest, found[i, c] = d * t / (d + t), d
    return found


def inner(labels, own) -> list[int]:
    """The labels without peripheral members."""
    kept = [int(y) for y in labels]
    for c in set(kept):
        values = [float(o) for y, o in zip(labels, own, strict=True) if y == c]
        if len(values) > 1:
            mean = sum(values) / len(values)
            spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
            for i, (y, o) in enumerate(zip(labels, own, strict=True)):
                if y == c and o > mean + spread:
                    kept[i] = -1
    return kept
