"""Eq. 23: which term of the loss, on which batch, with which weight."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from man_jax.array_math import masked_mean
from man_jax.losses.domain import (
    Form,
    Inter,
    Kernel,
    Pairs,
    prototype_domain_loss,
    same_kind_domain_loss,
)
from man_jax.losses.identity import TripletForm, batch_hard_triplet, smoothed_cross_entropy
from man_jax.losses.modality import Distance, Pairing, Reduction, modality_margin_loss
from man_jax.memories.cross_batch import Memory, memory_triplet
from man_jax.memories.prototypes import Bank
from man_jax.networks.three_branch import Outputs

Terms = dict[str, Float[Array, ""]]
FusedTriplet = Literal["normed", "pooled"]


class Objective(NamedTuple):
    """The readings and weights of the total loss; every field is a config key of the same name."""

    alpha: float = 1.0
    beta: float = 0.8
    memory_weight: float = 1.0
    smoothing: float = 0.1
    triplet_form: TripletForm = "hinge"
    triplet_margin: float = 0.3
    triplet_fused: FusedTriplet = "normed"
    domain_pairs: Pairs = "ins_proto"
    domain_margin: float = 0.5
    domain_inter: Inter = "margin"
    domain_kernel: Kernel = "fixed"
    modality_margin: float = 0.5
    modality_distance: Distance = "squared"
    modality_reduction: Reduction = "sum"
    modality_pairing: Pairing = "different"


def term_weights(objective: Objective) -> dict[str, float]:
    """The factor in the total (Eq. 23) of each term that has one, by the term's name; the others count once."""
    return {
        "memory": objective.memory_weight,
        "domain_intra": objective.alpha,
        "domain_inter": objective.alpha,
        "modality": objective.beta,
    }


class Labelled(NamedTuple):
    """What the network says of a batch of one domain, and what it is to learn of it."""

    outputs: Outputs
    labels: Int[Array, " B"]
    """In the common label space: source identities, then clusters."""
    reliable: Bool[Array, " B"]
    """Where False, the row takes no part in L_ReID and XBM."""


def reid_loss(batch: Labelled, objective: Objective) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(L_id, L_triplet) of one domain, each summed over the modalities and F (Eq. 21, 22).

    The paper does not say what the triplet reads. Here it is g of each modality, before the neck, as with every BNNeck,
    and f_F of the fusion, or g_F if `triplet_fused` is "pooled".
    """

    def identity(logits):
        values = smoothed_cross_entropy(logits, batch.labels, smoothing=objective.smoothing)
        return masked_mean(values, batch.reliable)

    def triplet(pooled):
        form, margin = objective.triplet_form, objective.triplet_margin
        return batch_hard_triplet(pooled, batch.labels, mask=batch.reliable, form=form, margin=margin)

    outputs = batch.outputs
    fused = {"pooled": outputs.features.fused_pooled, "normed": outputs.fused_normed}[objective.triplet_fused]
    modal = jnp.sum(jax.vmap(triplet)(outputs.features.pooled))
    return jnp.sum(jax.vmap(identity)(outputs.logits)), modal + triplet(fused)


def pretraining_loss(
    outputs: Outputs, labels: Int[Array, " B"], objective: Objective
) -> tuple[Float[Array, ""], Terms]:
    """L_ReID on the labelled source alone."""
    identity, triplet = reid_loss(Labelled(outputs, labels, jnp.ones(labels.shape, bool)), objective)
    return identity + triplet, {"identity_source": identity, "triplet_source": triplet}


def adaptation_loss(
    source: Labelled,
    target: Labelled,
    *,
    banks: tuple[Bank, Bank],
    moved_banks: tuple[Bank, Bank],
    memory: Memory,
    objective: Objective,
) -> tuple[Float[Array, ""], Terms]:
    """L = L_ReID(source) + L_ReID(target, reliable) + L_XBM + α L_PDA + β L_MMA (Eq. 23), and each term.

    `banks` are those of source and target before this batch, `moved_banks` after it (Eq. 11). `memory` already
    holds this batch, as in the reference code of XBM.
    """
    identity_source, triplet_source = reid_loss(source, objective)
    identity_target, triplet_target = reid_loss(target, objective)
    cross_batch = cross_batch_loss((source, target), memory, objective)
    instances = (source.outputs.features.modal_unit, target.outputs.features.modal_unit)
    domain = domain_loss(*instances, banks=banks, moved_banks=moved_banks, objective=objective)
    modality = modality_loss(*instances, banks=banks, objective=objective)
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


def unsupervised_loss(
    target: Labelled, *, bank: Bank, memory: Memory, objective: Objective
) -> tuple[Float[Array, ""], Terms]:
    """The US protocol: L_ReID(target, reliable) + L_XBM + β L_MMA, and each term; no source, hence no PDA.

    Differs from the paper: it does not say what becomes of MMA. Here the target takes both its roles, so
    L_MMA = L_uma(t, t).
    """
    identity, triplet = reid_loss(target, objective)
    cross_batch = cross_batch_loss((target,), memory, objective)
    instances = target.outputs.features.modal_unit
    # Eq. 20 adds two directions, which are here the same one.
    modality = modality_loss(instances, instances, banks=(bank, bank), objective=objective) / 2.0
    terms = {
        "identity_target": identity,
        "triplet_target": triplet,
        "memory": cross_batch,
        "modality": modality,
    }
    return identity + triplet + objective.memory_weight * cross_batch + objective.beta * modality, terms


def cross_batch_loss(batches: Sequence[Labelled], memory: Memory, objective: Objective) -> Float[Array, ""]:
    """L_XBM of the batches of all domains together, on fused features before the neck."""
    features, labels, reliable = zip(
        *((batch.outputs.features.fused_pooled, batch.labels, batch.reliable) for batch in batches),
        strict=True,
    )
    return memory_triplet(
        jnp.concatenate(features),
        jnp.concatenate(labels),
        memory,
        mask=jnp.concatenate(reliable),
        form=objective.triplet_form,
        margin=objective.triplet_margin,
    )


def modality_loss(
    source: Float[Array, "M B D"],
    target: Float[Array, "M B D"],
    *,
    banks: tuple[Bank, Bank],
    objective: Objective,
) -> Float[Array, ""]:
    """L_MMA (Eq. 17-20) of Unit features and the banks of source and target."""
    return modality_margin_loss(
        source,
        target,
        *(bank.modal for bank in banks),
        source_valid=banks[0].valid,
        target_valid=banks[1].valid,
        margin=objective.modality_margin,
        distance=objective.modality_distance,
        reduction=objective.modality_reduction,
        pairing=objective.modality_pairing,
    )


def domain_loss(
    source: Float[Array, "M B D"],
    target: Float[Array, "M B D"],
    *,
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
    valid = {"source_valid": banks[0].valid, "target_valid": banks[1].valid}
    match objective.domain_pairs:
        case "ins_proto":
            return prototype_domain_loss(source, target, *(bank.modal for bank in banks), **valid, **form)
        case "ins_ins":
            return same_kind_domain_loss(source, target, **form)
        case "proto_proto":
            return same_kind_domain_loss(*(bank.modal for bank in moved_banks), **valid, **form)
    raise ValueError(f"domain_pairs is {objective.domain_pairs!r}; choose ins_proto, ins_ins or proto_proto")
