"""Eq. 21 and 23, term by term from the other oracles. Banks are the valid prototypes; entries what the memory holds."""

from typing import Any, NamedTuple

import numpy as np

from tests.oracles import domain, modality, objectives
from tests.oracles.geometry import Array, unit_rows


class Batch(NamedTuple):
    """One domain: g and f [M, B, D], f_F, logits [M + 1, B, L] with the fusion's last, labels in the common space."""

    pooled: Array
    normed: Array
    fused_normed: Array
    logits: Array
    labels: Any
    reliable: Any

    def fused(self) -> Array:
        """Cat(g_R, g_N, g_T) of the reliable triples."""
        rows = [np.concatenate([own[b] for own in self.pooled]) for b in range(len(self.labels))]
        return np.array(rows)[np.asarray(self.reliable)]


def reid(batch: Batch, objective) -> tuple[float, float]:
    """(L_id, L_triplet), summed over the modalities and the fusion; of no triple both are 0."""
    taken = np.asarray(batch.reliable)
    labels = np.asarray(batch.labels)[taken]
    identity = triplet = 0.0
    for logits in batch.logits:
        losses = objectives.smoothed_cross_entropy(logits[taken], labels, objective.smoothing)
        identity += sum(losses) / len(losses) if len(losses) else 0.0
    fusion = batch.fused() if objective.triplet_fused == "pooled" else batch.fused_normed[taken]
    for rows in [*(own[taken] for own in batch.pooled), fusion]:
        triplet += objectives.batch_hard_triplet(
            rows, labels, objective.triplet_form, objective.triplet_margin
        )
    return identity, triplet


def cross_batch(batches: list[Batch], entries: list, objective) -> float:
    anchors = np.concatenate([batch.fused() for batch in batches])
    labels = np.concatenate([np.asarray(batch.labels)[np.asarray(batch.reliable)] for batch in batches])
    form, margin = objective.triplet_form, objective.triplet_margin
    return objectives.memory_triplet(anchors, labels, entries, form, margin)


def adaptation(
    batches: list[Batch], banks, moved, entries: list, objective, at: list[Batch]
) -> dict[str, float]:
    """Each term and the total; `at`: the batches that set the bandwidths, to the gradient constants."""
    source, target = batches
    instances, base = ([unit_rows(batch.normed) for batch in each] for each in (batches, at))
    form = {
        "margin": objective.domain_margin,
        "inter": objective.domain_inter,
        "kernel": objective.domain_kernel,
    }
    if objective.domain_pairs == "ins_proto":
        halves = domain.prototype_domain_loss(*instances, *banks, **form, at=(base[0], base[1]))
    else:
        rows, fixed = (instances, base) if objective.domain_pairs == "ins_ins" else (moved, moved)
        once = domain.alignment_loss(*rows, **form, at=(fixed[0], fixed[1]))
        halves = {name: 2 * half for name, half in once.items()}
    terms = dict(zip(("identity_source", "triplet_source"), reid(source, objective), strict=True))
    terms |= dict(zip(("identity_target", "triplet_target"), reid(target, objective), strict=True))
    total = sum(terms.values())
    terms["memory"] = cross_batch(batches, entries, objective)
    terms |= {"domain_intra": halves["intra"], "domain_inter": halves["inter"]}
    terms["modality"] = mma(*instances, *banks, objective)
    alignment = objective.alpha * sum(halves.values()) + objective.beta * terms["modality"]
    return terms | {"total": total + objective.memory_weight * terms["memory"] + alignment}


def unsupervised(target: Batch, bank, entries: list, objective) -> dict[str, float]:
    """The target alone, in both roles of L_uma, which is counted once."""
    identity, triplet = reid(target, objective)
    memory, rows = cross_batch([target], entries, objective), unit_rows(target.normed)
    modality = mma(rows, rows, bank, bank, objective) / 2
    total = identity + triplet + objective.memory_weight * memory + objective.beta * modality
    terms = {"identity_target": identity, "triplet_target": triplet, "memory": memory, "modality": modality}
    return terms | {"total": total}


def mma(source: Array, target: Array, source_bank: Array, target_bank: Array, objective) -> float:
    return modality.modality_margin_loss(
        source,
        target,
        source_bank,
        target_bank,
        margin=objective.modality_margin,
        distance=objective.modality_distance,
        reduction=objective.modality_reduction,
        pairing=objective.modality_pairing,
    )
