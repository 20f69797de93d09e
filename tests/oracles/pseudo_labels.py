"""CPA (Eq. 4-6) as the paper tells it: every pair of clusters, every sample, every matching."""

from itertools import combinations, permutations

import numpy as np

FUSION = -1


def mismatch_costs(labels, fused_labels, num_clusters: int) -> np.ndarray:
    """cost[i, j]: samples in exactly one of fusion cluster i and modality cluster j."""
    cost = np.zeros((num_clusters, num_clusters), int)
    for i in range(num_clusters):
        for j in range(num_clusters):
            for fused, own in zip(fused_labels, labels, strict=True):
                cost[i, j] += (fused == i) != (own == j)
    return cost


def optimal_alignments(labels, fused_labels, num_clusters: int) -> set[tuple[int, ...]]:
    """The labels renamed by each of the cheapest matchings, found by trying all k! of them."""
    cost = mismatch_costs(labels, fused_labels, num_clusters)
    matchings = list(
        permutations(range(num_clusters))
    )  # matching[j] is the fusion cluster of modality cluster j
    totals = [sum(cost[matching[j], j] for j in range(num_clusters)) for matching in matchings]
    cheapest = [m for m, total in zip(matchings, totals, strict=True) if total == min(totals)]
    return {tuple(matching[own] for own in labels) for matching in cheapest}


def largest_overlap(labels, fused_labels) -> int:
    """The most samples that share a cluster's name, over all ways to name each cluster at most once; −1 is none."""
    pairs = [(own, fused) for own, fused in zip(labels, fused_labels, strict=True) if own >= 0 and fused >= 0]

    def best(clusters: list, free: frozenset) -> int:
        if not clusters:
            return 0
        first, rest = clusters[0], clusters[1:]
        named = [pairs.count((first, name)) + best(rest, free - {name}) for name in free]
        return max([best(rest, free), *named])

    return best(sorted({own for own, _ in pairs}), frozenset(fused for _, fused in pairs))


def is_renaming(labels, renamed, num_clusters: int) -> bool:
    """Whether each cluster has one new name or none, no two have the same, and −1 stays."""
    names = {
        own: {new for old, new in zip(labels, renamed, strict=True) if old == own} for own in set(labels)
    }
    given = [min(new) for own, new in names.items() if own >= 0 and min(new) >= 0]
    single = all(len(new) == 1 for new in names.values()) and names.get(-1, {-1}) == {-1}
    return single and len(given) == len(set(given)) and all(name < num_clusters for name in given)


def consistency_score(votes) -> float:
    """Fraction of the unordered pairs of votes, six for {R, N, T, F}, that agree (Eq. 5)."""
    pairs = list(combinations(votes, 2))
    return sum(a == b for a, b in pairs) / len(pairs)


def settle(votes, rule: str, threshold: float) -> tuple[int, bool]:
    """One sample's label and whether it is reliable; votes in the order R, N, T, F."""
    votes = list(votes)
    reliable = consistency_score(votes) > threshold
    if rule == "majority":
        most = max(votes.count(vote) for vote in votes)
        tied = [vote for vote in votes if votes.count(vote) == most]
        return (votes[FUSION] if votes[FUSION] in tied else tied[0]), reliable
    but_one = len(votes) - 1
    if rule == "fusion_vote" and any(votes.count(vote) == but_one for vote in votes):
        reliable = reliable and votes.count(votes[FUSION]) == but_one
    return votes[FUSION], reliable


def clustering_accuracy(labels, pids) -> float:
    """The best one-to-one naming of clusters by identities, by trying each; clusters may stay unnamed."""

    def best(clusters: list, identities: frozenset) -> int:
        if not clusters:
            return 0
        first, rest = clusters[0], clusters[1:]
        named = [
            sum(a == first and b == identity for a, b in zip(labels, pids, strict=True))
            + best(rest, identities - {identity})
            for identity in identities
        ]
        return max([best(rest, identities), *named])

    return best(sorted(set(labels)), frozenset(pids)) / len(labels) if len(labels) else 0.0
