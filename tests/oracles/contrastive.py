"""InfoNCE against a memory of centres, one row and one class at a time."""

import math

from tests.oracles.geometry import Array, dot


def info_nce(features: Array, centres: Array, labels, exists, weight, temperature: float = 0.05) -> float:
    total = weights = 0.0
    for feature, label, importance in zip(features, labels, weight, strict=True):
        if importance == 0 or not 0 <= label < len(centres) or not exists[label]:
            continue
        logits = {k: dot(feature, centres[k]) / temperature for k in range(len(centres)) if exists[k]}
        highest = max(logits.values())
        among = highest + math.log(sum(math.exp(logit - highest) for logit in logits.values()))
        total += importance * (among - logits[int(label)])
        weights += importance
    return total / weights if weights else 0.0


def instance_nce(features: Array, instances: Array, instance_labels, labels, weight, temperature) -> float:
    """Against a memory of single samples, one pair at a time."""
    total = weights = 0.0
    for feature, label, importance in zip(features, labels, weight, strict=True):
        own = [j for j in range(len(instances)) if instance_labels[j] == label and label >= 0]
        if importance == 0 or not own:
            continue
        logits = [dot(feature, instance) / temperature for instance in instances]
        highest = max(logits)
        scores = [math.exp(logit - highest) for logit in logits]
        total += importance * -math.log(sum(scores[j] for j in own) / sum(scores))
        weights += importance
    return total / weights if weights else 0.0
