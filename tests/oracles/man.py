"""Eq. 23 of MAN, term by term from the other oracles.

Banks are the valid prototypes; entries are what the queue holds; `config` has the parts `man` and `loss`.
"""

import numpy as np

from tests.oracles import domain, identity, modality
from tests.oracles.geometry import Array, unit_rows
from tests.oracles.reid import Batch, reid


def cross_batch(batches: list[Batch], entries: list, config) -> float:
    anchors = np.concatenate([batch.fused() for batch in batches])
    labels = np.concatenate([np.asarray(batch.labels)[np.asarray(batch.reliable)] for batch in batches])
    form, margin = config.loss.triplet_form, config.loss.triplet_margin
    weights = None
    if batches[0].weight is not None:
        weights = np.concatenate([np.asarray(batch.weight)[np.asarray(batch.reliable)] for batch in batches])
    return identity.queue_triplet(anchors, labels, entries, form, margin, weights)


def aligned(batch: Batch, config) -> Array:
    """What PDA and MMA read."""
    return unit_rows(batch.pooled if config.man.aligned == "pooled" else batch.normed)


def adaptation(
    batches: list[Batch],
    banks,
    moved,
    entries: list,
    config,
    at: list[Batch],
    exists=None,
    identity_weight: float = 1.0,
) -> dict[str, float]:
    """Each term and the total; `at`: the batches that set the bandwidths, to the gradient constants."""
    source, target = batches
    instances, base = ([aligned(batch, config) for batch in each] for each in (batches, at))
    form = {
        "margin": config.man.domain_margin,
        "inter": config.man.domain_inter,
        "kernel": config.man.domain_kernel,
    }
    if config.man.domain_pairs == "ins_proto":
        halves = domain.prototype_domain_loss(*instances, *banks, **form, at=(base[0], base[1]))
    else:
        rows, fixed = (instances, base) if config.man.domain_pairs == "ins_ins" else (moved, moved)
        once = domain.alignment_loss(*rows, **form, at=(fixed[0], fixed[1]))
        halves = {name: 2 * half for name, half in once.items()}
    terms = dict(
        zip(
            ("identity_source", "triplet_source"),
            reid(source, config.loss, exists, config.man.modal_weight),
            strict=True,
        )
    )
    terms |= dict(
        zip(
            ("identity_target", "triplet_target"),
            reid(target, config.loss, exists, config.man.modal_weight),
            strict=True,
        )
    )
    total = sum(terms.values()) - (1 - identity_weight) * terms["identity_target"]
    terms["memory"] = cross_batch(batches, entries, config)
    terms |= {"domain_intra": halves["intra"], "domain_inter": halves["inter"]}
    terms["modality"] = mma(*instances, *banks, config)
    alignment = config.man.alpha * sum(halves.values()) + config.man.beta * terms["modality"]
    return terms | {"total": total + config.man.memory_weight * terms["memory"] + alignment}


def unsupervised(
    target: Batch, bank, entries: list, config, exists=None, identity_weight: float = 1.0
) -> dict[str, float]:
    """The target alone, in both roles of L_uma, which is counted once."""
    cross_entropy, triplet = reid(target, config.loss, exists, config.man.modal_weight)
    memory, rows = cross_batch([target], entries, config), aligned(target, config)
    modality = mma(rows, rows, bank, bank, config) / 2
    total = identity_weight * cross_entropy + triplet
    total += config.man.memory_weight * memory + config.man.beta * modality
    terms = {
        "identity_target": cross_entropy,
        "triplet_target": triplet,
        "memory": memory,
        "modality": modality,
    }
    return terms | {"total": total}


def mma(source: Array, target: Array, source_bank: Array, target_bank: Array, config) -> float:
    return modality.modality_margin_loss(
        source,
        target,
        source_bank,
        target_bank,
        margin=config.man.modality_margin,
        distance=config.man.modality_distance,
        reduction=config.man.modality_reduction,
        pairing=config.man.modality_pairing,
    )
