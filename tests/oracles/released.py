"""The terms of the authors' code from the pooled features on, number by number in float64; shares no code with others.

The neck of the fusion is its own, and batch statistics are those of the rows given. A bank is a pair: the rows of each
modality, and those of the fusion.
"""

import math
from itertools import combinations

import numpy as np

EPSILON = 1e-5


def length(x) -> float:
    return math.sqrt(sum(float(v) ** 2 for v in x))


def apart(x, y) -> float:
    return math.sqrt(sum((float(a) - float(b)) ** 2 for a, b in zip(x, y, strict=True)))


def norm(rows, scale):
    """Batch normalisation without bias, column by column."""
    rows = np.array(rows, np.float64)
    out = np.zeros_like(rows)
    for d in range(rows.shape[1]):
        middle = sum(rows[:, d]) / len(rows)
        variance = sum((v - middle) ** 2 for v in rows[:, d]) / len(rows)
        for b in range(len(rows)):
            out[b, d] = scale[d] * (rows[b, d] - middle) / math.sqrt(variance + EPSILON)
    return out


def joined(per_modality, b):
    return np.concatenate([rows[b] for rows in per_modality])


class Domain:
    """What the network makes of one domain's pooled features [M, B, D]."""

    def __init__(self, pooled, necks, fusion_neck, kernels, fused_kernel, labels, classes, reliable):
        self.pooled = [np.array(rows, np.float64) for rows in pooled]
        size = len(labels)
        self.fused_pooled = np.array([joined(self.pooled, b) for b in range(size)])
        normed = [norm(rows, scale) for rows, scale in zip(self.pooled, necks, strict=True)]
        self.fused = norm(self.fused_pooled, fusion_neck)
        self.logits = [rows @ kernel for rows, kernel in zip(normed, kernels, strict=True)]
        self.logits.append(self.fused @ fused_kernel)
        self.unit = [np.array([row / length(row) for row in rows]) for rows in self.pooled]
        self.labels, self.classes, self.reliable = labels, classes, reliable


def identity(domain: Domain, smoothing: float) -> float:
    """L_id, of the modalities and the fusion, summed; the mean of each over the reliable rows."""
    total = 0.0
    for logits in domain.logits:
        values = []
        for row, own, taken in zip(logits, domain.classes, domain.reliable, strict=True):
            if taken:
                log_sum = math.log(sum(math.exp(v) for v in row))
                share = [smoothing / len(row) + (1 - smoothing) * (c == own) for c in range(len(row))]
                values.append(-sum(p * (v - log_sum) for p, v in zip(share, row, strict=True)))
        total += sum(values) / len(values)
    return total


def triplet(domain: Domain) -> float:
    """The soft batch-hard triplet of g of each modality and of f_F."""
    total = 0.0
    for rows in (*domain.pooled, domain.fused):
        values = []
        for i, own in enumerate(domain.classes):
            others = [j for j in range(len(rows)) if j != i and domain.reliable[j]]
            same = [apart(rows[i], rows[j]) for j in others if domain.classes[j] == own]
            other = [apart(rows[i], rows[j]) for j in others if domain.classes[j] != own]
            if domain.reliable[i] and same and other:
                values.append(math.log(1 + math.exp(max(same) - min(other))))
        total += sum(values) / len(values) if values else 0.0
    return total


class Queue:
    """XBM as a list of (feature, class) or None, and where the next row goes."""

    def __init__(self, entries, place):
        self.entries, self.place = list(entries), place

    def write(self, pairs):
        q = len(pairs)
        if self.place + q > len(self.entries):
            self.entries[-q:] = pairs
            self.place = 0
        else:
            self.entries[self.place : self.place + q] = pairs
            self.place += q


def cross_batch(domains, held) -> float:
    """Batch-hard hinge of f_F against what the queue holds, without margin; `held`: (feature, class) pairs."""
    values = []
    for domain in domains:
        for feature, own, taken in zip(domain.fused, domain.classes, domain.reliable, strict=True):
            same = [apart(feature, row) for row, label in held if label == own]
            other = [apart(feature, row) for row, label in held if label != own]
            if taken and same and other:
                values.append(max(0.0, max(same) - min(other)))
    return sum(values) / len(values)


def moved(rows, features, labels, reliable, momentum: float):
    """One step an instance, by the raw feature, the row left as long as it becomes."""
    rows = [np.array(row, np.float64) for row in rows]
    for feature, label, taken in zip(features, labels, reliable, strict=True):
        if taken:
            rows[label] = momentum * rows[label] + (1 - momentum) * feature
    return np.array(rows)


def moved_bank(bank, domain: Domain, momentum: float):
    """(the prototypes of each modality, those of the fusion) after the batch."""
    modal, fused = bank
    rest = (domain.labels, domain.reliable, momentum)
    after = [moved(rows, features, *rest) for rows, features in zip(modal, domain.pooled, strict=True)]
    return after, moved(fused, domain.fused_pooled, *rest)


def mmd(x, y) -> float:
    def kernel(a, b):
        return sum(math.exp(-sum((p - q) ** 2) / 2) for p in a for q in b) / (len(a) * len(b))

    return kernel(x, x) + kernel(y, y) - 2 * kernel(x, y)


def domain_alignment(source: Domain, target: Domain, source_bank, target_bank) -> dict[str, float]:
    """PDA without margin on Unit(g) and moved prototypes; of the fusion on f_F as it is."""
    terms = {"domain_intra": 0.0, "domain_inter": 0.0, "domain_fused": 0.0}
    for here, (modal, fused) in ((source, target_bank), (target, source_bank)):
        for i, rows in enumerate(here.unit):
            for j, prototypes in enumerate(modal):
                terms["domain_intra" if i == j else "domain_inter"] += mmd(rows, prototypes)
        terms["domain_fused"] += mmd(here.fused, fused)
    return terms


def modality_alignment(instances, bank, distance: str, margin: float = 0.5) -> float:
    """One direction of MMA: the largest gap within the instances, within the prototypes, and of equal modalities."""

    def gap(x, y) -> float:
        if distance == "cosine":
            return abs(margin - float(x @ y) / (length(x) * length(y)))
        return abs(margin - apart(x, y) ** 2)

    of_rows = [sum(rows) / len(rows) for rows in instances.unit]
    of_bank = [sum(rows) / len(rows) for rows in bank[0]]
    pairs = list(combinations(range(len(of_rows)), 2))
    return (
        max(gap(of_rows[i], of_rows[j]) for i, j in pairs)
        + max(gap(of_bank[i], of_bank[j]) for i, j in pairs)
        + max(gap(x, y) for x, y in zip(of_rows, of_bank, strict=True))
    )
