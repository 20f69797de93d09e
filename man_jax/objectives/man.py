"""The total loss of MAN (Eq. 23), and that of its US protocol (§4.1.2)."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32

from man_jax.layout import WHOLE, Layout
from man_jax.losses.domain import Pairs, prototype_domain_loss, same_kind_domain_loss
from man_jax.losses.modality import modality_margin_loss
from man_jax.losses.reid import reid_loss
from man_jax.memories.cross_batch import CrossBatch, queue_triplet
from man_jax.memories.prototypes import Bank
from man_jax.networks.three_branch import Outputs

Aligned = Literal["normed", "pooled"]
Banks = tuple[Bank, Bank]
"""The prototypes of the source and of the target."""
Terms = dict[str, Float[Array, ""]]


class Form(NamedTuple):
    """The readings of the terms, as keywords of their functions, and the factors of the total."""

    reid: Mapping[str, Any]
    """Of `reid_loss`; XBM has the same triplets."""
    domain: Mapping[str, Any]
    """Of the functions of losses/domain.py."""
    modality: Mapping[str, Any]
    """Of `modality_margin_loss`."""
    pairs: Pairs = "ins_proto"
    """Which rows PDA compares: Table 5."""
    aligned: Aligned = "normed"
    """What PDA and MMA read: Unit(f), or Unit(g)."""
    alpha: float = 1.0
    beta: float = 0.8
    memory_weight: float = 1.0
    identity_weight: Float[Array, ""] | float = 1.0
    """Of the target's L_id."""
    layout: Layout = WHOLE
    """How prototypes and the queue lie on the devices."""


class Learnt(NamedTuple):
    """A batch of one domain, with the outputs of the network and the labels to learn."""

    outputs: Outputs
    labels: Int32[Array, " B"]
    """Classes: source identities, then clusters."""
    reliable: Bool[Array, " B"]
    """False: the row takes no part in L_ReID and XBM."""
    weight: Float[Array, " B"] | None = None
    """How much a row counts in L_ReID and XBM; None: each reliable row as much."""


def adaptation_loss(
    source: Learnt,
    target: Learnt,
    *,
    banks: Banks,
    moved_banks: Banks,
    queue: CrossBatch,
    exists: Bool[Array, " C"] | None = None,
    form: Form,
) -> tuple[Float[Array, ""], Terms]:
    """Sum L = L_ReID(source) + L_ReID(target) + w L_XBM + α L_PDA + β L_MMA (Eq. 23); return its terms too.

    w is `memory_weight`; `form.identity_weight` is the factor of L_id in L_ReID(target), 1 in the paper. Only reliable
    target samples count in L_ReID and L_XBM. `banks` are the banks before this batch, `moved_banks` those after it
    (Eq. 11). `queue` already holds this batch, as in the reference code of XBM.
    """
    identity_source, triplet_source = supervised_loss(source, exists, form)
    identity_target, triplet_target = supervised_loss(target, exists, form)
    cross_batch = cross_batch_loss([source, target], queue, form)
    instances = (aligned_features(source, form), aligned_features(target, form))
    domain = domain_loss(*instances, banks=banks, moved_banks=moved_banks, form=form)
    modality = modality_loss(*instances, banks=banks, form=form)
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
    reid = identity_source + triplet_source + form.identity_weight * identity_target + triplet_target
    alignment = form.alpha * (domain["intra"] + domain["inter"]) + form.beta * modality
    return reid + form.memory_weight * cross_batch + alignment, terms


def unsupervised_loss(
    target: Learnt,
    *,
    bank: Bank,
    queue: CrossBatch,
    exists: Bool[Array, " C"] | None = None,
    form: Form,
) -> tuple[Float[Array, ""], Terms]:
    """Sum L = L_ReID(target) + w L_XBM + β L_MMA, the loss of the US protocol; without a source there is no PDA.

    Differs from the paper: the paper does not say what MMA is here. We put the target in the place of both domains,
    so L_MMA = L_uma(t, t).
    """
    identity, triplet = supervised_loss(target, exists, form)
    cross_batch = cross_batch_loss([target], queue, form)
    instances = aligned_features(target, form)
    # Eq. 20 adds two directions, which are here the same one.
    modality = modality_loss(instances, instances, banks=(bank, bank), form=form) / 2.0
    terms = {
        "identity_target": identity,
        "triplet_target": triplet,
        "memory": cross_batch,
        "modality": modality,
    }
    return (
        form.identity_weight * identity + triplet + form.memory_weight * cross_batch + form.beta * modality,
        terms,
    )


def supervised_loss(
    batch: Learnt, exists: Bool[Array, " C"] | None, form: Form
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Compute L_id and L_triplet of one domain's batch."""
    return reid_loss(
        batch.outputs,
        batch.labels,
        mask=batch.reliable,
        weight=batch.weight,
        exists=exists,
        **form.reid,
    )


def aligned_features(batch: Learnt, form: Form) -> Float[Array, "M B D"]:
    """Give the features that PDA and MMA read."""
    features = batch.outputs.features
    return features.pooled_unit if form.aligned == "pooled" else features.modal_unit


def cross_batch_loss(batches: list[Learnt], queue: CrossBatch, form: Form) -> Float[Array, ""]:
    """Compute L_XBM of all domains' batches together, on the fused features before the neck."""
    weights = [batch.weight for batch in batches if batch.weight is not None]
    return queue_triplet(
        jnp.concatenate([batch.outputs.features.fused_pooled for batch in batches]),
        jnp.concatenate([batch.labels for batch in batches]),
        queue,
        mask=jnp.concatenate([batch.reliable for batch in batches]),
        weight=jnp.concatenate(weights) if weights else None,
        form=form.reid["triplet_form"],
        margin=form.reid["triplet_margin"],
        layout=form.layout,
    )


def domain_loss(
    source_instances: Float[Array, "M B D"],
    target_instances: Float[Array, "M B D"],
    *,
    banks: Banks,
    moved_banks: Banks,
    form: Form,
) -> Terms:
    """Compute both halves of L_PDA for the rows that `form.pairs` names (Eq. 16; Table 5 has the other pairs).

    Proto-Proto compares the prototypes that this batch has moved, because the gradient passes through the step of
    Eq. 11. Prototypes that did not move would have no gradient.
    """
    valid = {"source_valid": banks[0].valid_rows, "target_valid": banks[1].valid_rows}
    kinds = {**form.domain, "layout": form.layout}
    if form.pairs == "ins_proto":
        return prototype_domain_loss(
            source_instances, target_instances, *(bank.modal for bank in banks), **valid, **kinds
        )
    if form.pairs == "ins_ins":
        return same_kind_domain_loss(source_instances, target_instances, **kinds)
    return same_kind_domain_loss(*(bank.modal for bank in moved_banks), **valid, **kinds)


def modality_loss(
    source_instances: Float[Array, "M B D"],
    target_instances: Float[Array, "M B D"],
    *,
    banks: Banks,
    form: Form,
) -> Float[Array, ""]:
    """Compute L_MMA (Eq. 17–20) from the unit features and the banks of both domains."""
    return modality_margin_loss(
        source_instances,
        target_instances,
        *(bank.modal for bank in banks),
        source_valid=banks[0].valid_rows,
        target_valid=banks[1].valid_rows,
        **form.modality,
    )
