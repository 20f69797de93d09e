"""Jensen and Shannon's divergence, one row and one number at a time."""

import math

from tests.oracles.geometry import Array
from tests.oracles.soft import softmax


def jensen_shannon(x: Array, y: Array, weight) -> float:
    total = 0.0
    for one, other, importance in zip(x, y, weight, strict=True):
        for p, q in zip(softmax(list(one)), softmax(list(other)), strict=True):
            middle = (p + q) / 2
            total += importance * (p * math.log(p / middle) + q * math.log(q / middle)) / 2
    return total
