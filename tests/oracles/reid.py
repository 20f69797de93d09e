"""L_ReID (Eq. 21, 22) of one domain's batch, from the oracles of its two losses."""

from typing import Any, NamedTuple

import numpy as np

from tests.oracles import identity
from tests.oracles.geometry import Array


class Batch(NamedTuple):
    """One domain: g and f [M, B, D], f_F, logits [M + 1, B, L] with the fusion's last, labels in the common space."""

    pooled: Array
    normed: Array
    fused_normed: Array
    logits: Array
    labels: Any
    reliable: Any
    weight: Any = None
    """How much each triple counts; None: all the same."""

    def fused(self) -> Array:
        """Cat(g_R, g_N, g_T) of the reliable triples."""
        rows = [np.concatenate([own[b] for own in self.pooled]) for b in range(len(self.labels))]
        return np.array(rows)[np.asarray(self.reliable)]


def reid(batch: Batch, config, exists=None, modal_weight: float = 1.0) -> tuple[float, float]:
    """(L_id, L_triplet) by `config.loss`, summed over the modalities and the fusion; of no triple both are 0."""
    taken = np.asarray(batch.reliable)
    labels = np.asarray(batch.labels)[taken]
    weights = np.ones(len(taken))[taken] if batch.weight is None else np.asarray(batch.weight)[taken]
    cross_entropy = triplet = 0.0
    factors = [modal_weight] * len(batch.pooled) + [1.0]
    for factor, logits in zip(factors, batch.logits, strict=True):
        losses = identity.smoothed_cross_entropy(logits[taken], labels, config.smoothing, exists)
        cross_entropy += factor * identity.weighted(list(zip(weights, losses, strict=True)))
    fusion = batch.fused() if config.triplet_fused == "pooled" else batch.fused_normed[taken]
    rows_of_all = [*(own[taken] for own in batch.pooled), fusion]
    for factor, rows in zip(factors, rows_of_all, strict=True):
        triplet += factor * identity.batch_hard_triplet(
            rows, labels, config.triplet_form, config.triplet_margin, weights
        )
    return cross_entropy, triplet
