"""Average linkage, one merge at a time: every pair of clusters, every pair of their samples."""

from itertools import combinations

Cluster = tuple[int, ...]


def distance(distances, a: Cluster, b: Cluster) -> float:
    """The mean of all distances between two clusters."""
    return sum(float(distances[i][j]) for i in a for j in b) / (len(a) * len(b))


def merges(distances) -> list[tuple[float, list[Cluster]]]:
    """Height and clusters after each merge, the first with none; the nearest two clusters merge."""
    clusters: list[Cluster] = [(i,) for i in range(len(distances))]
    steps = [(0.0, clusters)]
    while len(clusters) > 1:
        a, b = min(combinations(clusters, 2), key=lambda pair: distance(distances, *pair))
        height = distance(distances, a, b)
        clusters = [each for each in clusters if each not in (a, b)] + [tuple(sorted(a + b))]
        steps.append((height, clusters))
    return steps


def numbered(clusters: list[Cluster]) -> list[int]:
    """Labels by sample; clusters are numbered by their first samples."""
    labels = {}
    for number, cluster in enumerate(sorted(clusters, key=min)):
        labels |= dict.fromkeys(cluster, number)
    return [labels[i] for i in sorted(labels)]


def cut_into(distances, num_clusters: int) -> list[int]:
    [clusters] = [clusters for _, clusters in merges(distances) if len(clusters) == num_clusters]
    return numbered(clusters)


def cut_at(distances, height: float) -> list[int]:
    return numbered([clusters for own, clusters in merges(distances) if own <= height][-1])


def large(labels: list[int], least: int) -> list[int]:
    """The labels of clusters of `least` samples or more, numbered anew in their order; −1 for the others."""
    kept = [number for number in sorted(set(labels)) if labels.count(number) >= least]
    return [kept.index(label) if label in kept else -1 for label in labels]
