"""Memories of centres and mean teachers, one instance and one number at a time."""

import numpy as np

from tests.oracles.geometry import Array, dot, unit


def cluster_centres(features: Array, labels, num_classes: int) -> tuple[Array, np.ndarray]:
    centres, exists = np.zeros((num_classes, features.shape[1])), np.zeros(num_classes, bool)
    for k in range(num_classes):
        members = [feature for feature, label in zip(features, labels, strict=True) if label == k]
        if members:
            exists[k], centres[k] = True, unit(sum(members) / len(members))
    return centres, exists


def update_centres(
    values: Array, features: Array, labels, exists, weight, momentum: float, form: str
) -> Array:
    moved = values.copy()
    for k in range(len(values)):
        members = [
            f
            for f, label, w in zip(features, labels, weight, strict=True)
            if label == k and w > 0 and exists[k]
        ]
        if form == "hard" and members:
            members = [min(members, key=lambda f: dot(f, values[k]))]
        for member in members:
            moved[k] = unit(momentum * moved[k] + (1 - momentum) * member)
    return moved


def moving_average(teacher: Array, student: Array, step: int, alpha: float) -> Array:
    kept = min(1 - 1 / (step + 1), alpha)
    moved = [
        kept * float(old) + (1 - kept) * float(new)
        for old, new in zip(teacher.flat, student.flat, strict=True)
    ]
    return np.array(moved).reshape(teacher.shape)
