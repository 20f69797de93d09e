"""CPA: consistency-driven pseudo-label alignment (Eq. 2–6), on the host, once an epoch."""

from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int32, Integer

from man_jax.clustering.matching import match_clusters

Rule = Literal["fusion_vote", "majority", "fusion_label", "plain"]

FUSION = -1
"""The row of the fusion in every [L, N] array of labels; the rows before it belong to the modalities R, N, T."""

UNMATCHED = -1
"""The label of a sample in no cluster, or in a cluster of a modality that matches none of the fusion's."""


class PseudoLabels(NamedTuple):
    """The labels of one epoch. Unreliable samples have a label too, because batches for PDA and MMA are drawn by it."""

    labels: Int32[np.ndarray, " N"]
    reliable: Bool[np.ndarray, " N"]
    scores: Float64[np.ndarray, " N"]
    aligned: Int32[np.ndarray, "L N"]


def align_pseudo_labels(
    modal_labels: Integer[np.ndarray, "M N"],
    fused_labels: Integer[np.ndarray, " N"],
    *,
    num_clusters: int,
    rule: Rule = "fusion_vote",
    threshold: float = 0.4,
) -> PseudoLabels:
    """Bring the modalities' clusterings into the fusion's numbering, score their consistency, settle one label.

    The fusion has at most `num_clusters` clusters, and a modality may have more or fewer. −1 is no cluster. Where no
    modality was clustered (M = 0), the fusion's labels stand alone.
    """
    renamed = [align_labels(labels, fused_labels, num_clusters=num_clusters) for labels in modal_labels]
    aligned = np.stack([*renamed, np.asarray(fused_labels, np.int32)])
    labels, reliable = settle_labels(aligned, rule=rule, threshold=threshold)
    return PseudoLabels(labels, reliable, consistency_scores(aligned), aligned)


def align_labels(
    labels: Integer[np.ndarray, " N"], fused_labels: Integer[np.ndarray, " N"], *, num_clusters: int
) -> Int32[np.ndarray, " N"]:
    """Rename a modality's clusters to the fusion clusters they match (Eq. 4).

    The paper's cost is the number of mismatched samples, C[i,j] = |F_i| + |M_j| − 2 |F_i ∩ M_j|. A one-to-one
    assignment sums each |F_i| and each |M_j| once, so the cheapest one is the one with the largest overlap.

    The fusion has `num_clusters` clusters. A modality with more of them keeps some that match none; their samples
    become −1, as those in no cluster are.

    Differs from the paper: there, all clusterings have the same number of clusters.
    """
    num_own = max(num_clusters, int(np.max(labels, initial=-1)) + 1)
    matching = match_clusters(fused_labels, labels, num_one=num_clusters, num_other=num_own)
    renamed = np.full(num_own + 1, UNMATCHED, np.int32)  # the last is that of samples in no cluster
    renamed[matching.other] = matching.one
    return renamed[labels]


def consistency_scores(aligned: Integer[np.ndarray, "L N"]) -> Float64[np.ndarray, " N"]:
    """Compute the share of the 6 pairs of {R, N, T, F} whose aligned labels agree (Eq. 5): 0, 1/6, 2/6, 3/6 or 1.

    With fewer modalities there are 3 pairs (0, 1/3 or 1) or 1 (0 or 1). The fusion alone has no pair, and the score 1.
    A label −1 agrees with none, nor with another.
    """
    if len(aligned) == 1:
        return np.ones(aligned.shape[1])
    agreements = [
        (aligned[i] == aligned[j]) & (aligned[i] >= 0) for i, j in combinations(range(len(aligned)), 2)
    ]
    return np.mean(agreements, axis=0)


def settle_labels(
    aligned: Integer[np.ndarray, "L N"], *, rule: Rule, threshold: float
) -> tuple[Int32[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """Choose one label a sample, and whether it is reliable: score > threshold (Eq. 6), under one of four rules.

    - `fusion_vote`: the fusion's label; where all modalities agree, the fusion must agree with them.
    - `majority`: the most frequent label; ties go to the fusion's, then to the first modality's.
    - `fusion_label`: the fusion's label, whoever agrees.
    - `plain`: the fusion's label, and every label is reliable, whatever its score (the baseline of Table 4).

    A label −1 agrees with no other, and a sample that is left with it is not reliable.

    Differs from the paper: it gives neither the threshold nor the rule.
    """
    reliable = consistency_scores(aligned) > threshold
    fused = aligned[FUSION]
    known = fused != UNMATCHED
    if rule == "plain":
        return fused.astype(np.int32), known
    if rule == "fusion_label":
        return fused.astype(np.int32), reliable & known
    alone = np.eye(len(aligned), dtype=bool)[:, :, None]  # a label has its own vote
    votes = np.sum((aligned[:, None] == aligned[None, :]) & (aligned[:, None] != UNMATCHED) | alone, axis=1)
    if rule == "fusion_vote":
        outvoted = (votes.max(axis=0) == len(aligned) - 1) & (votes[FUSION] == 1)
        return fused.astype(np.int32), reliable & ~outvoted & known
    if rule == "majority":
        ballot = [
            len(aligned) - 1,
            *range(len(aligned) - 1),
        ]  # argmax takes the first of equals, so the order is the tie rule
        winner = np.asarray(ballot)[np.argmax(votes[ballot], axis=0)]
        labels = np.take_along_axis(aligned, winner[None], axis=0)[0].astype(np.int32)
        return labels, reliable & (labels != UNMATCHED)
    raise ValueError(f"rule is {rule!r}; choose fusion_vote, majority, fusion_label or plain")


def clustering_accuracy(labels: Integer[np.ndarray, " N"], pids: Integer[np.ndarray, " N"]) -> float:
    """Compute the share of samples whose cluster is their identity's under the best one-to-one matching (Fig. 3, 6).

    This is a diagnostic: it reads the true identities, which training never does. Without samples it is 0.
    """
    if len(labels) == 0:
        return 0.0
    _, cluster = np.unique(labels, return_inverse=True)
    _, identity = np.unique(pids, return_inverse=True)
    size = int(max(cluster.max(), identity.max())) + 1
    return float(match_clusters(identity, cluster, num_one=size, num_other=size).shared.sum() / len(labels))
