"""PyTorch's Adam, AdamW and SGD as its documentation states them, number by number, in float64."""

import math

import numpy as np

from tests.oracles.geometry import Array


def adam(value: Array, gradients: list[Array], rates: list[float], *, decay: float, decoupled: bool) -> Array:
    """torch.optim.Adam, or AdamW if `decoupled`; betas (0.9, 0.999), eps 1e-8."""
    value = np.array(value, np.float64)
    first, second = np.zeros_like(value), np.zeros_like(value)
    for t, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        for i in np.ndindex(value.shape):
            slope = float(gradient[i])
            if decoupled:
                value[i] -= rate * decay * value[i]
            else:
                slope += decay * value[i]
            first[i] = 0.9 * first[i] + 0.1 * slope
            second[i] = 0.999 * second[i] + 0.001 * slope**2
            corrected = first[i] / (1 - 0.9**t)
            value[i] -= rate * corrected / (math.sqrt(second[i] / (1 - 0.999**t)) + 1e-8)
    return value


def sgd(value: Array, gradients: list[Array], rates: list[float], *, decay: float) -> Array:
    """torch.optim.SGD(momentum=0.9, weight_decay=decay)."""
    value = np.array(value, np.float64)
    velocity = np.zeros_like(value)
    for gradient, rate in zip(gradients, rates, strict=True):
        velocity = 0.9 * velocity + (gradient + decay * value)
        value = value - rate * velocity
    return value
