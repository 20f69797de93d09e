"""DSSM's rates, weights and reweighted losses, one sample and one triplet at a time."""

import math

import numpy as np

from tests.oracles.geometry import Array, distance, dot, unit_rows
from tests.oracles.soft import hardest, softmax


def rates(rng: np.random.Generator, number: int, mean, deviation, least, largest) -> list[float]:
    """Drawn again and again until they are within the limits."""
    found = []
    while len(found) < number:
        rate = rng.normal(mean, deviation)
        if least < rate < largest:
            found.append(rate)
    return found


def similarity_weights(features: Array, labels, temperature: float) -> list[float]:
    inside = [i for i in range(len(labels)) if labels[i] >= 0]
    scores = []
    for i in inside:
        others = [dot(features[i], features[j]) for j in inside if labels[j] != labels[i]]
        scores.append(-max(others) / temperature)
    shares = dict(zip(inside, softmax(scores), strict=True))
    return [len(labels) * shares.get(i, 0.0) for i in range(len(labels))]


def reweighted_mean(x, weight) -> float:
    rows = [i for i in range(len(x)) if weight[i] > 0]
    return sum(float(weight[i]) * float(x[i]) for i in rows) / len(rows) if rows else 0.0


def reweighted_triplet(features: Array, labels, weight, margin: float) -> float:
    rows = unit_rows(features)
    triplets = hardest(rows, labels, weight)
    total = 0.0
    for a, p, n in triplets:
        scale = (2 * weight[a] + weight[p] + weight[n]) / 4
        total += scale * max(0.0, distance(rows[a], rows[p]) - distance(rows[a], rows[n]) + margin)
    return total / len(triplets) if triplets else 0.0


def cross_entropy(logits: Array, labels, classes) -> list[float]:
    """−log of the softmax over these classes, a value a row."""
    return [
        -math.log(softmax([float(row[c]) for c in classes])[list(classes).index(int(label))])
        for row, label in zip(logits, labels, strict=True)
    ]
