"""MAN, the multi-level alignment network: Algorithm 1 of the paper, from top to bottom.

Each epoch clusters every modality and their fusion, aligns the clusterings and keeps the labels they agree on (CPA).
Prototypes of both domains go into banks. Then the network learns from both domains by cross-entropy, triplets and a
memory of past batches (XBM), aligned by MMD between prototypes and instances (PDA) and by margins between the centres
of modalities (MMA). Under the US protocol (§4.1.2) it learns from the target alone.

Source: Sheng et al., "Multi-level alignment network for unsupervised domain adaptive multi-modality object
re-identification". docs/EQUATIONS.md has the functions by equation, docs/READINGS.md the readings.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, PRNGKeyArray

from man_jax.clustering.kmeans import cluster_tables
from man_jax.clustering.pseudo_labels import FUSION, align_pseudo_labels
from man_jax.clustering.target_clusters import cluster_by_neighbours, is_number_given
from man_jax.config import Config
from man_jax.frame import (
    TRAINED,
    Batch,
    ByDomain,
    Change,
    EpochFeatures,
    FeatureTable,
    Frame,
    Labels,
    Network,
    Terms,
    TrainState,
    kmeans_settings,
    pass_domains,
    views,
)
from man_jax.keys import Key
from man_jax.losses.domain import prototype_domain_loss, same_kind_domain_loss
from man_jax.losses.modality import modality_margin_loss
from man_jax.losses.reid import reid_loss
from man_jax.memories.cross_batch import CrossBatch, empty_queue, enqueue, flush, queue_triplet
from man_jax.memories.prototypes import Bank, empty_bank, make_bank, move_bank
from man_jax.networks.heads import forget_columns, set_columns
from man_jax.networks.three_branch import Outputs, Variables

KEYS = {
    # Labels of the target
    "labels": Key("cpa", "fusion: its plain clusters, all reliable (Table 4)", ("cpa", "fusion")),
    "rule": Key("fusion_vote", "whose label wins; ours", ("fusion_vote", "majority", "fusion_label")),
    "threshold": Key(0.4, "σ of Eq. 6; ours: admits three of four", least=0, largest=1),
    "clusters": Key("kmeans", "or others, on Jaccard distances: ours", ("kmeans", "linkage", "dbscan")),
    "neighbours": Key("fusion", "whose count for F's; consensus: modalities vote", ("fusion", "consensus")),
    "vote": Key(0.05, "cosine that a modality's vote is worth, of consensus; ours", least=0),
    "count": Key("given", "k of linkage; given: adapt.num_clusters", ("given", "estimated", "cut")),
    "cut": Key(0.9, "distance at which linkage's clusters are counted; ours", least=0, largest=1),
    "eps": Key(0.5, "Jaccard distance within which samples are near, of dbscan", least=0, largest=0.99),
    "min_samples": Key(4, "of a core of dbscan, and of a cluster that linkage counts", least=1),
    "k1": Key(30, "neighbours that are compared; about the images of an identity", least=1),
    "k2": Key(6, "neighbours whose encodings are averaged; at most k1", least=1),
    "capacity": Key(0, "clusters there is room for if k is not given; 0: N / min_samples", least=0),
    # Prototypes and heads
    "prototype_weights": Key("softmax", "of Eq. 7; average: Table 6", ("softmax", "average")),
    "temperature": Key(1.0, "τ of Eq. 7; released: 0.1; below 1e-6 float32 tells none apart", least=1e-6),
    "momentum": Key(0.99, "λ of Eq. 11; paper §4.2", least=0, largest=1),
    "moving_form": Key("batch_mean", "of several of a class, Eq. 11; ours", ("batch_mean", "sequential")),
    "head_norm": Key("matched", "of new target columns; unit: 1, not the source's", ("matched", "unit")),
    # Weights of Eq. 23
    "alpha": Key(1.0, "weight of PDA; paper §4.5.4", least=0),
    "beta": Key(0.8, "weight of MMA; paper §4.5.4", least=0),
    "memory_weight": Key(1.0, "weight of XBM; ours", least=0),
    "memory_size": Key(0, "XBM entries; 0: one a training triple of both domains", least=0),
    # PDA
    "domain_pairs": Key("ins_proto", "what is aligned: Table 5", ("ins_proto", "ins_ins", "proto_proto")),
    "domain_margin": Key(0.5, "margin_p; paper §4.2", least=0),
    "domain_inter": Key("margin", "form of Eq. 15; plain: released", ("margin", "plain", "hinge")),
    "domain_kernel": Key("fixed", "of MMD; fixed: released", ("fixed", "multi")),
    # MMA
    "modality_margin": Key(0.5, "margin_m; paper §4.2", least=0),
    "modality_distance": Key("squared", "of Eq. 18", ("squared", "cosine")),
    "modality_reduction": Key("sum", "over pairs; max: released", ("sum", "max")),
    "modality_pairing": Key("different", "Mi ≠ Mj of Eq. 18; equal: released", ("different", "equal")),
}


class Slots(NamedTuple):
    """The arrays that MAN adds to the state."""

    banks: ByDomain[Bank]
    queue: CrossBatch
    """XBM: past fused features with their classes."""
    exists: Bool[Array, " C"] | None = None
    """Classes that the softmax knows; None: all, where k is given, since there is room for k clusters."""


def networks(config: Config) -> tuple[Network, ...]:
    """Give the place of the one network, which the optimiser updates."""
    del config
    return (TRAINED,)


def capacity(config: Config, num_triples: int) -> int:
    """Give the largest number of clusters that an epoch may have; k, where it is given."""
    if is_number_given(config.man.clusters, config.man.count):
        return config.adapt.num_clusters
    return config.man.capacity or max(1, num_triples // config.man.min_samples)


def start(frame: Frame, state: TrainState) -> TrainState:
    """Add empty banks and an empty queue."""
    model, space, own = frame.model, frame.space, frame.config.man
    sizes = {"num_modalities": model.num_modalities, "dim": model.dim}
    entries = frame.config.man.memory_size or sum(frame.num_triples)
    banks = ByDomain(
        empty_bank(num_classes=space.num_source, **sizes), empty_bank(num_classes=space.capacity, **sizes)
    )
    queue = empty_queue(capacity=entries, dim=model.num_modalities * model.dim)
    exists = None if is_number_given(own.clusters, own.count) else space.exists(0)
    return state.replace(slots=Slots(banks, queue, exists))


# --- the start of an epoch: features → clusters → labels → prototypes


def label(
    frame: Frame,
    state: TrainState,
    features: tuple[FeatureTable, ...],
    cameras: Int32[np.ndarray, " N"],
    epoch: int,
) -> Labels:
    """Cluster R, N, T and F (Eq. 1–3), align the clusterings (Eq. 4), keep labels on which they agree (Eq. 5, 6)."""
    del state, cameras
    (table,) = features
    config, num_clusters = frame.config.man, frame.config.adapt.num_clusters
    if config.clusters == "kmeans":
        clusters = cluster_tables([*table.modal, table.fused], **kmeans_settings(frame.config, epoch))
    else:
        near = {"neighbours": config.neighbours, "vote": config.vote, "k1": config.k1, "k2": config.k2}
        cut = {"count": config.count, "cut": config.cut, "eps": config.eps, "min_samples": config.min_samples}
        room: Any = {"num_clusters": num_clusters, "most": frame.space.capacity}
        kind: Any = {"clusters": config.clusters, **near, **cut, **room}
        clusters = cluster_by_neighbours(table.modal, table.fused, **kind)
        num_clusters = int(clusters[FUSION].max(initial=-1)) + 1
    rule = config.rule if config.labels == "cpa" else "plain"
    settled = align_pseudo_labels(
        clusters[:FUSION], clusters[FUSION], num_clusters=num_clusters, rule=rule, threshold=config.threshold
    )
    return Labels(
        settled.labels[:, None],
        settled.reliable.astype(np.float32),
        num_clusters,
        clusterings=dict(zip([*frame.config.model.modalities, "F"], settled.aligned, strict=True)),
        estimated=not is_number_given(config.clusters, config.count),
    )


def begin_epoch(
    frame: Frame,
    state: TrainState,
    features: EpochFeatures,
    labels: ByDomain[Labels],
) -> TrainState:
    """Build the banks (Eq. 7–10), and give the heads the target's prototypes as columns.

    The optimiser's moments of these columns become zero, and the queue forgets its target entries, because the cluster
    numbers have a new meaning. If the labels keep their meaning, as the oracle's do, heads and queue are not changed.
    """
    config, space = frame.config.man, frame.space
    kind = {"weights": config.prototype_weights, "temperature": config.temperature}

    def bank_of(tables, known: Labels, num_classes: int) -> Bank:
        (table,) = tables
        labels, mask = known.labels[:, 0], known.weight > 0
        return make_bank(table.modal, table.fused, labels, num_classes=num_classes, mask=mask, **kind)

    source = state.slots.banks.source  # the US protocol has no use for it
    if features.source is not None:
        source = bank_of(features.source, labels.source, space.num_source)
    target = bank_of(features.target, labels.target, space.capacity)
    slots = state.slots._replace(banks=ByDomain(source, target))
    if slots.exists is not None:
        slots = slots._replace(exists=space.exists(labels.target.num_clusters))
    if labels.target.continued:
        return state.replace(slots=slots)
    first = space.num_source
    heads = set_columns(
        state.params["heads"],
        target.modal,
        target.fused,
        first=first,
        valid=target.valid,
        norm=config.head_norm,
    )
    return state.replace(
        params={**state.params, "heads": heads},
        opt_state=forget_columns(state.opt_state, first=first),
        slots=slots._replace(queue=flush(slots.queue, first_label=first)),
    )


# --- a step


class Learnt(NamedTuple):
    """A batch of one domain, with the outputs of the network and the labels to learn."""

    outputs: Outputs
    labels: Int32[Array, " B"]
    """Classes: source identities, then clusters."""
    reliable: Bool[Array, " B"]
    """False: the row takes no part in L_ReID and XBM."""


def loss(
    frame: Frame,
    params: Variables,
    state: TrainState,
    source: Batch | None,
    target: Batch,
    key: PRNGKeyArray,
) -> tuple[Float[Array, ""], Change]:
    """Pass both domains through the network, move the prototypes (Eq. 11), fill the queue, sum the terms (Eq. 23)."""
    config, slots = frame.config, state.slots
    outputs, statistics = pass_domains(frame, params, state.statistics, views(frame, key, source, target))
    learnt: list[Learnt] = []
    banks: dict[str, Bank] = slots.banks._asdict()
    for domain, batch, output in zip(("source", "target"), (source, target), outputs, strict=True):
        if batch is None or output is None:
            continue
        banks[domain] = move_bank(
            banks[domain],
            output.features.modal_unit,
            output.features.fused_unit,
            batch.label,
            mask=batch.reliable,
            momentum=config.man.momentum,
            form=config.man.moving_form,
        )
        learnt.append(Learnt(output, frame.space.of(domain, batch.label), batch.reliable))
    moved = ByDomain(**banks)
    queue = enqueue(
        slots.queue,
        jnp.concatenate([each.outputs.features.fused_pooled for each in learnt]),
        jnp.concatenate([each.labels for each in learnt]),
        mask=jnp.concatenate([each.reliable for each in learnt]),
    )
    known = {"queue": queue, "exists": slots.exists, "config": config}
    if source is None:
        value, terms = unsupervised_loss(*learnt, bank=slots.banks.target, **known)
    else:
        value, terms = adaptation_loss(*learnt, banks=slots.banks, moved_banks=moved, **known)
    return value, Change(statistics, slots._replace(banks=moved, queue=queue), terms)


def adaptation_loss(
    source: Learnt,
    target: Learnt,
    *,
    banks: ByDomain[Bank],
    moved_banks: ByDomain[Bank],
    queue: CrossBatch,
    exists: Bool[Array, " C"] | None = None,
    config: Config,
) -> tuple[Float[Array, ""], Terms]:
    """Sum L = L_ReID(source) + L_ReID(target) + w L_XBM + α L_PDA + β L_MMA (Eq. 23); return its terms too.

    w is `memory_weight`. Only reliable target samples count in L_ReID and L_XBM. `banks` are the banks before this
    batch, `moved_banks` those after it (Eq. 11). `queue` already holds this batch, as in the reference code of XBM.
    """
    man = config.man
    identity_source, triplet_source = reid_loss(
        source.outputs, source.labels, mask=source.reliable, exists=exists, **config.loss
    )
    identity_target, triplet_target = reid_loss(
        target.outputs, target.labels, mask=target.reliable, exists=exists, **config.loss
    )
    cross_batch = cross_batch_loss([source, target], queue, config)
    instances = (source.outputs.features.modal_unit, target.outputs.features.modal_unit)
    domain = domain_loss(*instances, banks=banks, moved_banks=moved_banks, man=man)
    modality = modality_loss(*instances, banks=banks, man=man)
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
    alignment = man.alpha * (domain["intra"] + domain["inter"]) + man.beta * modality
    return reid + man.memory_weight * cross_batch + alignment, terms


def unsupervised_loss(
    target: Learnt,
    *,
    bank: Bank,
    queue: CrossBatch,
    exists: Bool[Array, " C"] | None = None,
    config: Config,
) -> tuple[Float[Array, ""], Terms]:
    """Sum L = L_ReID(target) + w L_XBM + β L_MMA, the loss of the US protocol; without a source there is no PDA.

    Differs from the paper: the paper does not say what MMA is here. We put the target in the place of both domains,
    so L_MMA = L_uma(t, t).
    """
    man = config.man
    identity, triplet = reid_loss(
        target.outputs, target.labels, mask=target.reliable, exists=exists, **config.loss
    )
    cross_batch = cross_batch_loss([target], queue, config)
    instances = target.outputs.features.modal_unit
    # Eq. 20 adds two directions, which are here the same one.
    modality = modality_loss(instances, instances, banks=ByDomain(bank, bank), man=man) / 2.0
    terms = {
        "identity_target": identity,
        "triplet_target": triplet,
        "memory": cross_batch,
        "modality": modality,
    }
    return identity + triplet + man.memory_weight * cross_batch + man.beta * modality, terms


def cross_batch_loss(batches: list[Learnt], queue: CrossBatch, config: Config) -> Float[Array, ""]:
    """Compute L_XBM of all domains' batches together, on the fused features before the neck."""
    return queue_triplet(
        jnp.concatenate([batch.outputs.features.fused_pooled for batch in batches]),
        jnp.concatenate([batch.labels for batch in batches]),
        queue,
        mask=jnp.concatenate([batch.reliable for batch in batches]),
        form=config.loss.triplet_form,
        margin=config.loss.triplet_margin,
    )


def domain_loss(
    source_instances: Float[Array, "M B D"],
    target_instances: Float[Array, "M B D"],
    *,
    banks: ByDomain[Bank],
    moved_banks: ByDomain[Bank],
    man: Config,
) -> Terms:
    """Compute both halves of L_PDA for the rows that `domain_pairs` names (Eq. 16; Table 5 has the other pairs).

    Proto-Proto compares the prototypes that this batch has moved, because the gradient passes through the step of
    Eq. 11. Prototypes that did not move would have no gradient.
    """
    form: Any = {"margin": man.domain_margin, "inter": man.domain_inter, "kernel": man.domain_kernel}
    valid = {"source_valid": banks.source.valid, "target_valid": banks.target.valid}
    if man.domain_pairs == "ins_proto":
        return prototype_domain_loss(
            source_instances, target_instances, *(bank.modal for bank in banks), **valid, **form
        )
    if man.domain_pairs == "ins_ins":
        return same_kind_domain_loss(source_instances, target_instances, **form)
    return same_kind_domain_loss(*(bank.modal for bank in moved_banks), **valid, **form)


def modality_loss(
    source_instances: Float[Array, "M B D"],
    target_instances: Float[Array, "M B D"],
    *,
    banks: ByDomain[Bank],
    man: Config,
) -> Float[Array, ""]:
    """Compute L_MMA (Eq. 17–20) from the unit features and the banks of both domains."""
    return modality_margin_loss(
        source_instances,
        target_instances,
        *(bank.modal for bank in banks),
        source_valid=banks.source.valid,
        target_valid=banks.target.valid,
        margin=man.modality_margin,
        distance=man.modality_distance,
        reduction=man.modality_reduction,
        pairing=man.modality_pairing,
    )


def after_update(frame: Frame, state: TrainState) -> TrainState:
    """Leave the state as it is, because `loss` has already moved the banks."""
    del frame
    return state


def weights(config: Config) -> dict[str, float]:
    """Give the factors of the terms in the total (Eq. 23); a term that is not named has the factor 1."""
    man = config.man
    return {
        "memory": man.memory_weight,
        "domain_intra": man.alpha,
        "domain_inter": man.alpha,
        "modality": man.beta,
    }
