"""P2LR's uncertainty, its schedule and its selection, one sample and one cluster at a time."""

import math

from tests.oracles.geometry import Array, dot
from tests.oracles.soft import softmax


def label_uncertainty(features: Array, centres: Array, labels, scale: float, peak: float) -> list[float]:
    found = []
    for feature, label in zip(features, labels, strict=True):
        p = softmax([scale * dot(feature, centre) for centre in centres])
        total = 0.0
        for k in range(len(centres)):
            q = peak if k == label else (1 - peak) / (len(centres) - 1)
            total += q * (math.log(q) - math.log(p[k]))
        found.append(total)
    return found


def selected_share(progress: float, first: float, bend: float) -> float:
    return first + 1 / bend * math.log(1 + progress * (math.exp(bend * (1 - first)) - 1))


def least_uncertain(uncertainty, number: int) -> set[int]:
    """The samples that fewer than `number` samples are more certain than."""
    return {i for i, own in enumerate(uncertainty) if sum(1 for other in uncertainty if other < own) < number}
