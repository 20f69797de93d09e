"""LRIMV: relations of clusters between cameras, triplets that may be compared, and agreement, one at a time."""

import math
from itertools import combinations

import numpy as np

from tests.oracles.geometry import Array, distance, squared_distance


def divergence(features: Array, others: Array, weight) -> float:
    total = 0.0
    for row, other, importance in zip(features, others, weight, strict=True):
        p, q = (softmax(each) for each in (row, other))
        total += float(importance) * sum(b * math.log(b / a) for a, b in zip(p, q, strict=True)) / len(row)
    return total / sum(float(w) for w in weight) if sum(weight) else 0.0


def softmax(row: Array) -> list[float]:
    exponentials = [math.exp(float(x)) for x in row]
    return [x / sum(exponentials) for x in exponentials]


def triplet(rows: Array, labels, cameras, weight, *, across: bool) -> float:
    """Soft; within cameras an anchor is compared with rows of its own camera."""
    total = weights = 0.0
    for i in range(len(rows)):
        others = [
            j for j in range(len(rows)) if j != i and weight[j] > 0 and (across or cameras[j] == cameras[i])
        ]
        positives = [distance(rows[i], rows[j]) for j in others if labels[j] == labels[i]]
        negatives = [distance(rows[i], rows[j]) for j in others if labels[j] != labels[i]]
        if weight[i] > 0 and positives and negatives:
            total += float(weight[i]) * math.log1p(math.exp(max(positives) - min(negatives)))
            weights += float(weight[i])
    return total / weights if weights else 0.0


def matches(related: dict[int, set[int]]) -> dict[int, int]:
    """Of clusters p of one camera: the cluster q of the other that each matches; `related` has those with relations."""
    left = {p: set(given) for p, given in related.items()}
    for p in sorted(related):
        if len(related[p]) > 1:
            for other in sorted(related):
                if len(related[other]) == 1 and len(left[p]) > 1:
                    left[p] -= related[other]
    sure = {p: next(iter(each)) for p, each in left.items() if len(each) == 1}
    return {p: q for p, q in sure.items() if [*sure.values()].count(q) == 1}


def near(rows: Array, columns: Array, threshold: float) -> set[tuple[int, int]]:
    squared = np.array([[squared_distance(a, b) for b in columns] for a in rows])
    scaled = (squared - squared.min()) / max(squared.max() - squared.min(), 1e-300)
    return {(int(i), int(j)) for i, j in np.argwhere(scaled <= threshold)}


def components(pairs, things) -> list[set]:
    parts = [{thing} for thing in things]
    for a, b in pairs:
        of_a, of_b = (next(part for part in parts if each in part) for each in (a, b))
        if of_a is not of_b:
            parts.remove(of_b)
            of_a |= of_b
    return parts


def merged(features: Array, clusters, cameras, threshold: float) -> list[int]:
    number = len(features)
    names = [("cluster", int(c)) if c >= 0 else ("alone", i) for i, c in enumerate(clusters)]
    pairs = []
    for one, other in combinations(sorted({int(c) for c in cameras}), 2):
        rows = [i for i in range(number) if cameras[i] == one]
        columns = [i for i in range(number) if cameras[i] == other]
        # In the order of the clusters' numbers, outliers after them.
        of_rows, of_columns = (
            sorted({names[i] for i in each}, key=lambda name: (name[0] == "alone", name[1]))
            for each in (rows, columns)
        )
        related: dict[int, set[int]] = {}
        for i, j in near(features[rows], features[columns], threshold):
            p, q = of_rows.index(names[rows[i]]), of_columns.index(names[columns[j]])
            related.setdefault(p, set()).add(q)
        pairs += [(of_rows[p], of_columns[q]) for p, q in matches(related).items()]
    classes = components(pairs, {name for pair in pairs for name in pair})
    members = [[i for i in range(number) if names[i] in each] for each in classes]
    centres = np.array([np.mean(features[each], axis=0) for each in members])
    fused = components(near(centres, centres, threshold), range(len(members))) if members else []
    whole = sorted((sorted(i for c in each for i in members[c]) for each in fused), key=lambda each: each[0])
    labels = [-1] * number
    for k, each in enumerate(whole):
        for i in each:
            labels[i] = k
    return labels
