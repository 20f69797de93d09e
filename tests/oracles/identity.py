"""The supervised losses (Eq. 22) and that of the cross-batch memory, row by row. Takes rows that take part only."""

import math

import numpy as np

from tests.oracles.geometry import Array, distance


def smoothed_cross_entropy(logits: Array, labels, smoothing: float = 0.1, exists=None) -> Array:
    """Of the classes that exist, all unless told."""
    losses = []
    for row, label in zip(logits, labels, strict=True):
        classes = [c for c in range(len(row)) if exists is None or exists[c]]
        top = max(row[c] for c in classes)
        log_sum = top + math.log(sum(math.exp(row[c] - top) for c in classes))
        wanted = {c: smoothing / len(classes) + (1 - smoothing) * (c == label) for c in classes}
        losses.append(-sum(share * (row[c] - log_sum) for c, share in wanted.items()))
    return np.array(losses)


def _hardest(positives: list[float], negatives: list[float], form: str, margin: float) -> float:
    gap = max(positives) - min(negatives)
    return max(0.0, gap + margin) if form == "hinge" else math.log1p(math.exp(gap))


def batch_hard_triplet(
    anchors: Array, labels, form: str = "hinge", margin: float = 0.3, weights=None
) -> float:
    terms = []
    for i, anchor in enumerate(anchors):
        others = [(distance(anchor, anchors[j]), labels[j]) for j in range(len(anchors)) if j != i]
        positives = [apart for apart, label in others if label == labels[i]]
        negatives = [apart for apart, label in others if label != labels[i]]
        if positives and negatives:
            terms.append(
                (1.0 if weights is None else weights[i], _hardest(positives, negatives, form, margin))
            )
    return weighted(terms)


def weighted(terms: list[tuple[float, float]]) -> float:
    """The mean of (weight, value) pairs; 0 of none."""
    total = sum(weight for weight, _ in terms)
    return sum(weight * value for weight, value in terms) / total if total else 0.0


def queue_triplet(
    anchors: Array, labels, entries: list, form: str = "hinge", margin: float = 0.3, weights=None
) -> float:
    """entries: the (feature, label) pairs the queue holds."""
    terms = []
    for i, (anchor, own) in enumerate(zip(anchors, labels, strict=True)):
        positives = [distance(anchor, feature) for feature, label in entries if label == own]
        negatives = [distance(anchor, feature) for feature, label in entries if label != own]
        if positives and negatives:
            terms.append(
                (1.0 if weights is None else weights[i], _hardest(positives, negatives, form, margin))
            )
    return weighted(terms)
