"""The ReID losses (Eq. 22) and the cross-batch memory, anchor by anchor. Takes rows that take part only."""

import math

import numpy as np

from tests.oracles.geometry import Array, distance


def smoothed_cross_entropy(logits: Array, labels, smoothing: float = 0.1) -> Array:
    losses = []
    for row, label in zip(logits, labels, strict=True):
        top = max(row)
        log_sum = top + math.log(sum(math.exp(z - top) for z in row))
        wanted = [smoothing / len(row) + (1 - smoothing) * (c == label) for c in range(len(row))]
        losses.append(-sum(share * (z - log_sum) for share, z in zip(wanted, row, strict=True)))
    return np.array(losses)


def _hardest(positives: list[float], negatives: list[float], form: str, margin: float) -> float:
    gap = max(positives) - min(negatives)
    return max(0.0, gap + margin) if form == "hinge" else math.log1p(math.exp(gap))


def batch_hard_triplet(anchors: Array, labels, form: str = "hinge", margin: float = 0.3) -> float:
    terms = []
    for i, anchor in enumerate(anchors):
        others = [(distance(anchor, anchors[j]), labels[j]) for j in range(len(anchors)) if j != i]
        positives = [apart for apart, label in others if label == labels[i]]
        negatives = [apart for apart, label in others if label != labels[i]]
        if positives and negatives:
            terms.append(_hardest(positives, negatives, form, margin))
    return sum(terms) / len(terms) if terms else 0.0


def memory_triplet(anchors: Array, labels, entries: list, form: str = "hinge", margin: float = 0.3) -> float:
    """entries: the (feature, label) pairs the memory holds."""
    terms = []
    for anchor, own in zip(anchors, labels, strict=True):
        positives = [distance(anchor, feature) for feature, label in entries if label == own]
        negatives = [distance(anchor, feature) for feature, label in entries if label != own]
        if positives and negatives:
            terms.append(_hardest(positives, negatives, form, margin))
    return sum(terms) / len(terms) if terms else 0.0
