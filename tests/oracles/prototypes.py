"""Class prototypes and their banks (Eq. 7-11), class by class and sample by sample."""

import math

import numpy as np

from tests.oracles.geometry import Array, cosine, mean, unit


def class_prototypes(
    features: Array, labels, num_classes: int, weights: str = "softmax", temperature: float = 1.0
) -> tuple[Array, np.ndarray]:
    values, valid = np.zeros((num_classes, features.shape[1])), np.zeros(num_classes, bool)
    for i in range(num_classes):
        members = [feature for feature, label in zip(features, labels, strict=True) if label == i]
        if not members:
            continue
        centre, valid[i] = mean(members), True
        if weights == "average":
            values[i] = unit(centre)
            continue
        scores = [math.exp(cosine(member, centre) / temperature) for member in members]
        for score, member in zip(scores, members, strict=True):
            values[i] += score / sum(scores) * member
        values[i] = unit(values[i])
    return values, valid


def move_prototypes(
    values: Array, valid, features: Array, labels, momentum: float, form: str = "batch_mean"
) -> Array:
    moved = values.copy()
    for i in range(len(values)):
        members = [feature for feature, label in zip(features, labels, strict=True) if label == i]
        if not members or not valid[i]:
            continue
        for towards in members if form == "sequential" else [mean(members)]:
            moved[i] = unit(momentum * moved[i] + (1 - momentum) * towards)
    return moved
