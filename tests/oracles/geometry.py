"""The vector arithmetic every other oracle stands on, in float64, one number at a time."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def dot(a: Array, b: Array) -> float:
    return sum(float(p) * float(q) for p, q in zip(a, b, strict=True))


def unit(vector: Array) -> Array:
    """x / max(‖x‖₂, 1e-12)."""
    return np.asarray(vector, np.float64) / max(math.sqrt(dot(vector, vector)), 1e-12)


def unit_rows(rows: Array) -> Array:
    """Unit of every vector along the last axis, whatever the axes before it."""
    rows = np.asarray(rows, np.float64)
    return np.array([unit(row) for row in rows.reshape(-1, rows.shape[-1])]).reshape(rows.shape)


def cosine(a: Array, b: Array) -> float:
    return dot(unit(a), unit(b))


def squared_distance(a: Array, b: Array) -> float:
    return sum((float(p) - float(q)) ** 2 for p, q in zip(a, b, strict=True))


def distance(a: Array, b: Array) -> float:
    return math.sqrt(squared_distance(a, b))


def mean(rows: list[Array] | Array) -> Array:
    total = np.zeros(len(rows[0]))
    for row in rows:
        total = total + row
    return total / len(rows)


def central_differences(function: Callable[[Array], float], at: Array, *, step: float = 1e-6) -> Array:
    """The gradient of a scalar function, two evaluations for each coordinate."""
    slope = np.zeros(at.shape)
    for index in np.ndindex(at.shape):
        ahead, behind = at.copy(), at.copy()
        ahead[index] += step
        behind[index] -= step
        slope[index] = (function(ahead) - function(behind)) / (2 * step)
    return slope
