"""The intermediate domain's module and losses, one pair of triples, one channel and one place at a time."""

import math

import numpy as np

from tests.oracles.geometry import Array, distance
from tests.oracles.soft import softmax


def mixed_cross_entropy(
    logits: Array, source_labels, target_labels, share, smoothing: float, exists
) -> Array:
    """The cross-entropy with the mixed label, written out as one distribution."""
    losses = []
    for row, s, t, of_source in zip(logits, source_labels, target_labels, share, strict=True):
        classes = [c for c in range(len(row)) if exists[c]]
        probability = softmax([float(row[c]) for c in classes])
        loss = 0.0
        for c, p in zip(classes, probability, strict=True):
            wanted = of_source * (c == s) + (1.0 - of_source) * (c == t)
            loss -= ((1.0 - smoothing) * wanted + smoothing / len(classes)) * math.log(p)
        losses.append(loss)
    return np.array(losses)


def feature_bridge(source: Array, target: Array, mixed: Array, shares: Array) -> float:
    total = 0.0
    for i in range(len(mixed)):
        total += shares[i][0] * distance(mixed[i], source[i]) + shares[i][1] * distance(mixed[i], target[i])
    return total / len(mixed)


def share_diversity(shares: Array) -> float:
    total = 0.0
    for domain in range(2):
        column = [float(pair[domain]) for pair in shares]
        middle = sum(column) / len(column)
        total -= math.sqrt(sum((share - middle) ** 2 for share in column) / len(column))
    return total


def connected(layer: dict, x: list[float]) -> list[float]:
    kernel, bias = np.asarray(layer["kernel"], float), np.asarray(layer["bias"], float)
    return [float(bias[j]) + sum(x[i] * float(kernel[i, j]) for i in range(len(x))) for j in range(len(bias))]


def pooled(maps: Array, b: int) -> list[float]:
    """Of triple b in maps [M, B, h, w, C]: the means of all channels of all modalities, then their largest values."""
    num_modalities, _, height, width, channels = maps.shape
    places = [(y, x) for y in range(height) for x in range(width)]
    every = [
        [float(maps[m, b, y, x, c]) for y, x in places]
        for m in range(num_modalities)
        for c in range(channels)
    ]
    return [sum(values) / len(values) for values in every] + [max(values) for values in every]


def mixing_shares(layers: dict, source: Array, target: Array) -> Array:
    shares = []
    for b in range(source.shape[1]):
        first, second = (connected(layers["fc1"], pooled(maps, b)) for maps in (source, target))
        middle = connected(layers["fc2"], [p + q for p, q in zip(first, second, strict=True)])
        shares.append(softmax(connected(layers["fc3"], middle)))
    return np.array(shares)


def mix_maps(source: Array, target: Array, shares: Array) -> Array:
    mixed = np.zeros(source.shape)
    for place in np.ndindex(source.shape):
        b = place[1]
        mixed[place] = shares[b][0] * source[place] + shares[b][1] * target[place]
    return mixed
