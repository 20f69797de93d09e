"""Mutual mean-teaching's losses, one row, one class and one triplet at a time."""

import math

from tests.oracles.geometry import Array, distance


def softmax(values: list[float]) -> list[float]:
    scores = [math.exp(value - max(values)) for value in values]
    return [score / sum(scores) for score in scores]


def cross_entropy(target: list[float], logits: list[float]) -> float:
    highest = max(logits)
    among = highest + math.log(sum(math.exp(logit - highest) for logit in logits))
    return sum(share * (among - logit) for share, logit in zip(target, logits, strict=True))


def soft_cross_entropy(student: Array, teacher: Array, exists, weight) -> float:
    classes = [c for c in range(student.shape[1]) if exists[c]]
    total = weights = 0.0
    for row, answer, importance in zip(student, teacher, weight, strict=True):
        if importance == 0 or not classes:
            continue
        target = softmax([float(answer[c]) for c in classes])
        total += importance * cross_entropy(target, [float(row[c]) for c in classes])
        weights += importance
    return total / weights if weights else 0.0


def hardest(features: Array, labels, weight) -> list[tuple[int, int, int]]:
    """(anchor, farthest positive, nearest negative) of every anchor that has both."""
    rows = [i for i in range(len(labels)) if labels[i] >= 0 and weight[i] > 0]
    triplets = []
    for i in rows:
        positives = [j for j in rows if j != i and labels[j] == labels[i]]
        negatives = [j for j in rows if labels[j] != labels[i]]
        if positives and negatives:
            farthest = max(positives, key=lambda j: distance(features[i], features[j]))
            nearest = min(negatives, key=lambda j: distance(features[i], features[j]))
            triplets.append((i, farthest, nearest))
    return triplets


def softmax_triplet(features: Array, labels, weight, margin: float = 0.0) -> float:
    return soft_triplet(features, None, labels, weight, margin)


def soft_triplet(student: Array, teacher: Array | None, labels, weight, margin: float = 0.0) -> float:
    """Without a teacher, its answer is (margin, 1 - margin)."""
    total = weights = 0.0
    for i, p, n in hardest(student, labels, weight):
        target = [margin, 1.0 - margin]
        if teacher is not None:
            target = softmax([distance(teacher[i], teacher[p]), distance(teacher[i], teacher[n])])
        own = [distance(student[i], student[p]), distance(student[i], student[n])]
        total += weight[i] * cross_entropy(target, own)
        weights += weight[i]
    return total / weights if weights else 0.0
