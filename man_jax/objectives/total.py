"""Eq. 23: which term of the loss, on which batch, with which weight."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from man_jax.alignment.domain import (
    Form,
    Inter,
    Kernel,
    Pairs,
    prototype_domain_loss,
    same_kind_domain_loss,
)
from man_jax.alignment.modality import Distance, Reduction, modality_margin_loss
from man_jax.alignment.prototypes import Bank
from man_jax.networks.three_branch import Outputs
from man_jax.objectives.identity import TripletForm, batch_hard_triplet, smoothed_cross_entropy
from man_jax.objectives.memory import Memory, memory_triplet
from man_jax.vectors import masked_mean

Terms = dict[str, Float[Array, ""]]


class Objective(NamedTuple):
    """The readings and weights of the total loss; every field is a config key of the same name."""

    alpha: float = 1.0
    beta: float = 0.8
    memory_weight: float = 1.0
    smoothing: float = 0.1
    triplet_form: TripletForm = "hinge"
    triplet_margin: float = 0.3
    domain_pairs: Pairs = "ins_proto"
    domain_margin: float = 0.5
    domain_inter: Inter = "margin"
    domain_kernel: Kernel = "fixed"
    modality_margin: float = 0.5
    modality_distance: Distance = "squared"
    modality_reduction: Reduction = "sum"


def reid_loss(
    outputs: Outputs, labels: Int[Array, " B"], mask: Bool[Array, " B"], objective: Objective
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(L_id, L_triplet) of one domain, each summed over the heads R, N, T, F (Eq. 21, 22); masked rows left out.

    Differs from the paper: the triplet reads g, before the neck, as with every BNNeck.
    """

    def identity(logits):
        values = smoothed_cross_entropy(logits, labels, smoothing=objective.smoothing)
        return masked_mean(values, mask)

    def triplet(pooled):
        form, margin = objective.triplet_form, objective.triplet_margin
        return batch_hard_triplet(pooled, labels, mask=mask, form=form, margin=margin)

    features = outputs.features
    modal = jnp.sum(jax.vmap(triplet)(features.pooled))
    return jnp.sum(jax.vmap(identity)(outputs.logits)), modal + triplet(features.fused_pooled)


def pretraining_loss(
    outputs: Outputs, labels: Int[Array, " B"], objective: Objective
) -> tuple[Float[Array, ""], Terms]:
    """L_ReID on the labelled source alone."""
    identity, triplet = reid_loss(outputs, labels, jnp.ones(labels.shape, bool), objective)
    return identity + triplet, {"identity_source": identity, "triplet_source": triplet}


def adaptation_loss(
    source: Outputs,
    target: Outputs,
    source_labels: Int[Array, " B"],
    target_labels: Int[Array, " B"],
    reliable: Bool[Array, " B"],
    *,
    banks: tuple[Bank, Bank],
    moved_banks: tuple[Bank, Bank],
    memory: Memory,
    objective: Objective,
) -> tuple[Float[Array, ""], Terms]:
    """L = L_ReID(source) + L_ReID(target, reliable) + L_XBM + α L_PDA + β L_MMA (Eq. 23), and each term.

    Labels are in the common label space. `banks` are those of source and target before this batch, `moved_banks`
    after it (Eq. 11). `memory` already holds this batch, as in the reference code of XBM.
    """
    everyone = jnp.ones(source_labels.shape, bool)
    identity_source, triplet_source = reid_loss(source, source_labels, everyone, objective)
    identity_target, triplet_target = reid_loss(target, target_labels, reliable, objective)
    cross_batch = memory_triplet(
        jnp.concatenate([source.features.fused_pooled, target.features.fused_pooled]),
        jnp.concatenate([source_labels, target_labels]),
        memory,
        mask=jnp.concatenate([everyone, reliable]),
        form=objective.triplet_form,
        margin=objective.triplet_margin,
    )
    domain = domain_loss(source, target, banks, moved_banks, objective)
    modality = modality_margin_loss(
        source.features.modal_unit,
        target.features.modal_unit,
        *(bank.modal for bank in banks),
        source_valid=banks[0].valid,
        target_valid=banks[1].valid,
        margin=objective.modality_margin,
        distance=objective.modality_distance,
        reduction=objective.modality_reduction,
    )
    terms = {
        "identity_source": identity_source,
        "triplet_source": triplet_source,
        "identity_target": identity_target,
        "triplet_target": triplet_target,
        "memory": cross_batch,
        "domain_intra": domain["intra"],
        "domain_inter": domain["inter"],
        "modality": modality,
    }
    reid = identity_source + triplet_source + identity_target + triplet_target
    alignment = objective.alpha * (domain["intra"] + domain["inter"]) + objective.beta * modality
    return reid + objective.memory_weight * cross_batch + alignment, terms


def domain_loss(
    source: Outputs,
    target: Outputs,
    banks: tuple[Bank, Bank],
    moved_banks: tuple[Bank, Bank],
    objective: Objective,
) -> Terms:
    """L_PDA's halves between the rows that `domain_pairs` names (Eq. 16; the others are rows of Table 5).

    Prototypes at rest would give Proto-Proto no gradient at all, so there they are those that the batch has moved:
    the gradient passes through its step of Eq. 11.
    """
    form: Form = {
        "margin": objective.domain_margin,
        "inter": objective.domain_inter,
        "kernel": objective.domain_kernel,
    }
    instances = (source.features.modal_unit, target.features.modal_unit)
    valid = {"source_valid": banks[0].valid, "target_valid": banks[1].valid}
    match objective.domain_pairs:
        case "ins_proto":
            return prototype_domain_loss(*instances, *(bank.modal for bank in banks), **valid, **form)
        case "ins_ins":
            return same_kind_domain_loss(*instances, **form)
        case "proto_proto":
            return same_kind_domain_loss(*(bank.modal for bank in moved_banks), **valid, **form)
    raise ValueError(f"domain_pairs is {objective.domain_pairs!r}; choose ins_proto, ins_ins or proto_proto")
