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

from man_jax.clustering.continuity import continue_numbers
from man_jax.clustering.kmeans import cluster_tables
from man_jax.clustering.pseudo_labels import FUSION, align_pseudo_labels
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
from man_jax.memories.moving_average import moving_average
from man_jax.memories.prototypes import Bank, empty_bank, make_bank, move_bank
from man_jax.networks.class_logits import cosine_logits, memory_logits
from man_jax.networks.heads import forget_columns, set_columns
from man_jax.networks.three_branch import Outputs, Variables

KEYS = {
    # Labels of the target
    "labels": Key(
        "cpa", "cpa | fusion: plain K-means of the fusion, all reliable (Table 4)", ("cpa", "fusion")
    ),
    "rule": Key("fusion_vote", "whose label wins; ours", ("fusion_vote", "majority", "fusion_label")),
    "threshold": Key(0.4, "σ of Eq. 6; ours: admits three of four", least=0, largest=1),
    "reliability": Key(
        "threshold",
        "threshold: weight 1 above σ | score: the score is the weight; ours",
        ("threshold", "score"),
    ),
    "across_epochs": Key(
        "renewed",
        "clusters, columns and XBM of an epoch | continued: matched with the last epoch's; ours",
        ("renewed", "continued"),
    ),
    "teacher": Key(
        0.0,
        "α of a mean teacher whose features are clustered and tested; 0: none; ours",
        least=0,
        largest=0.9999,
    ),
    # Prototypes and heads
    "prototype_weights": Key("softmax", "of Eq. 7; average: Table 6", ("softmax", "average")),
    "temperature": Key(1.0, "τ of Eq. 7; released: 0.1; below 1e-6 float32 tells none apart", least=1e-6),
    "momentum": Key(0.99, "λ of Eq. 11; paper §4.2", least=0, largest=1),
    "moving_form": Key("batch_mean", "of several of a class, Eq. 11; ours", ("batch_mean", "sequential")),
    "head_norm": Key(
        "matched", "of new target columns: the source's mean norm, or 1; ours", ("matched", "unit")
    ),
    "head": Key(
        "linear",
        "logits of L_id | cosine: of unit columns | memory: of prototypes; ours",
        ("linear", "cosine", "memory"),
    ),
    "head_temperature": Key(0.05, "τ of the heads cosine and memory; ours", least=1e-3),
    # Weights of Eq. 23
    "identity_target": Key(
        "on", "L_id of the target | off | ramp: from 0 to 1 over all steps; ours", ("on", "off", "ramp")
    ),
    "alpha": Key(1.0, "weight of PDA; paper §4.5.4", least=0),
    "beta": Key(0.8, "weight of MMA; paper §4.5.4", least=0),
    "memory_weight": Key(1.0, "weight of XBM; ours", least=0),
    "memory_size": Key(0, "XBM entries; 0: one a training triple of both domains", least=0),
    # PDA and MMA
    "aligned": Key(
        "normed", "what both and their prototypes read: Unit(f) | pooled: Unit(g)", ("normed", "pooled")
    ),
    # PDA
    "domain_pairs": Key("ins_proto", "what is aligned: Table 5", ("ins_proto", "ins_ins", "proto_proto")),
    "domain_margin": Key(0.5, "margin_p; paper §4.2", least=0),
    "domain_inter": Key("margin", "form of Eq. 15; plain: released", ("margin", "plain", "hinge")),
    "domain_kernel": Key("fixed", "of MMD; fixed: released", ("fixed", "multi")),
    # MMA
    "modality_margin": Key(0.5, "margin_m; paper §4.2", least=0),
    "modality_distance": Key("squared", "of Eq. 18", ("squared", "cosine")),
    "modality_reduction": Key("sum", "over pairs; max: released", ("sum", "max")),
    "modality_pairing": Key(
        "different", "of Dist(X, Y): Mi ≠ Mj, or Mi = Mj (released)", ("different", "equal")
    ),
}


class Slots(NamedTuple):
    """The arrays that MAN adds to the state."""

    banks: ByDomain[Bank]
    queue: CrossBatch
    """XBM: past fused features with their classes."""
    exists: Bool[Array, " C"] | None = None
    """Classes that the softmax knows; None: all, since K-means makes as many clusters as there is room for."""
    aligned: ByDomain[Bank] | None = None
    """The prototypes that PDA and MMA read, of Unit(g); None: they read `banks`."""
    last: Int32[Array, " N"] | None = None
    """The target's labels of the last epoch; −1 before the first one. None: no epoch asks for them."""
    updates: Int32[Array, ""] | None = None
    """The number of steps so far; None: nothing depends on it."""
    teacher: Variables | None = None
    """The mean teacher's {params, statistics}; None: there is none."""


TEACHER = Network(
    params=("slots", "teacher", "params"),
    source=("slots", "teacher", "statistics", "source"),
    target=("slots", "teacher", "statistics", "target"),
)


def networks(config: Config) -> tuple[Network, ...]:
    """Give the place of the one network: the teacher, or without one the network that the optimiser updates."""
    return (TEACHER,) if config.man.teacher else (TRAINED,)


def capacity(config: Config, num_triples: int) -> int:
    """Give the number of clusters, k of K-means."""
    del num_triples
    return config.adapt.num_clusters


def start(frame: Frame, state: TrainState) -> TrainState:
    """Add empty banks and an empty queue, and what the keys ask for besides."""
    model, space, config = frame.model, frame.space, frame.config.man
    sizes = {"num_modalities": model.num_modalities, "dim": model.dim}
    entries = config.memory_size or sum(frame.num_triples)
    banks = ByDomain(
        empty_bank(num_classes=space.num_source, **sizes), empty_bank(num_classes=space.capacity, **sizes)
    )
    queue = empty_queue(capacity=entries, dim=model.num_modalities * model.dim)
    slots = Slots(
        banks,
        queue,
        aligned=banks if config.aligned == "pooled" else None,
        last=jnp.full(frame.num_triples.target, -1) if config.across_epochs == "continued" else None,
        updates=jnp.int32(0) if config.teacher or config.identity_target == "ramp" else None,
        teacher={"params": state.params, "statistics": state.statistics} if config.teacher else None,
    )
    return state.replace(slots=slots)


# --- the start of an epoch: features → clusters → labels → prototypes


def label(
    frame: Frame,
    state: TrainState,
    features: tuple[FeatureTable, ...],
    cameras: Int32[np.ndarray, " N"],
    epoch: int,
) -> Labels:
    """Cluster R, N, T and F (Eq. 1–3), align the clusterings (Eq. 4), keep labels on which they agree (Eq. 5, 6)."""
    del cameras
    (table,) = features
    config, adapt = frame.config.man, frame.config.adapt
    clusters = cluster_tables(
        [*table.modal, table.fused],
        **kmeans_settings(frame.config, epoch),
    )
    settled = align_pseudo_labels(
        clusters[:FUSION],
        clusters[FUSION],
        num_clusters=adapt.num_clusters,
        rule=config.rule,
        threshold=config.threshold,
    )
    labels, weight = settled.labels, settled.reliable.astype(np.float32)
    if config.reliability == "score":
        weight = settled.scores.astype(np.float32)
    if config.labels == "fusion":
        labels, weight = settled.aligned[FUSION], np.ones_like(weight)
    names = [*frame.config.model.modalities, "F"]
    found = Labels(
        labels[:, None],
        weight,
        num_clusters=adapt.num_clusters,
        clusterings=dict(zip(names, settled.aligned, strict=True)),
    )
    if state.slots.last is None:
        return found
    labels, kept = continue_numbers(labels, np.asarray(state.slots.last), capacity=frame.space.capacity)
    return found._replace(labels=labels[:, None], num_clusters=frame.space.capacity, continued=kept)


def begin_epoch(
    frame: Frame,
    state: TrainState,
    features: EpochFeatures,
    labels: ByDomain[Labels],
) -> TrainState:
    """Build the banks (Eq. 7–10), and give the heads the target's prototypes as columns.

    The optimiser's moments of these columns become zero, and the queue forgets its entries of these clusters, because
    their numbers have a new meaning. Clusters that keep their meaning, as the oracle's do, keep columns and entries.
    """
    config, space, slots, known = frame.config.man, frame.space, state.slots, labels.target
    banks = epoch_banks(frame, slots.banks, features, labels, pooled=False)
    slots = slots._replace(banks=banks)
    if slots.aligned is not None:
        slots = slots._replace(aligned=epoch_banks(frame, slots.aligned, features, labels, pooled=True))
    if slots.exists is not None:
        slots = slots._replace(exists=space.exists(known.num_clusters))
    if slots.last is not None:
        slots = slots._replace(last=jnp.asarray(known.labels[:, 0]))
    if np.all(known.continued):
        return state.replace(slots=slots)
    first, renewed = space.num_source, jnp.asarray(~np.broadcast_to(known.continued, space.capacity))
    heads = set_columns(
        state.params["heads"],
        banks.target.modal,
        banks.target.fused,
        first=first,
        valid=banks.target.valid & renewed,
        norm=config.head_norm,
    )
    return state.replace(
        params={**state.params, "heads": heads},
        opt_state=forget_columns(state.opt_state, first=first, renewed=renewed),
        slots=slots._replace(queue=flush(slots.queue, first_label=first, renewed=renewed)),
    )


def epoch_banks(
    frame: Frame, banks: ByDomain[Bank], features: EpochFeatures, labels: ByDomain[Labels], *, pooled: bool
) -> ByDomain[Bank]:
    """Build the prototypes of both domains, of Unit(f) or of Unit(g); a domain without features keeps its old ones."""
    config, sizes = frame.config.man, (frame.space.num_source, frame.space.capacity)
    new = list(banks)
    for place, (tables, known, num_classes) in enumerate(zip(features, labels, sizes, strict=True)):
        if tables is not None:  # the US protocol has no use for the source's
            (table,) = tables
            new[place] = make_bank(
                table.pooled if pooled else table.modal,
                table.fused,
                known.labels[:, 0],
                num_classes=num_classes,
                mask=known.weight > 0,
                weights=config.prototype_weights,
                temperature=config.temperature,
            )
    return ByDomain(*new)


# --- a step


class Learnt(NamedTuple):
    """A batch of one domain, with the outputs of the network and the labels to learn."""

    outputs: Outputs
    labels: Int32[Array, " B"]
    """Classes: source identities, then clusters."""
    reliable: Bool[Array, " B"]
    """False: the row takes no part in L_ReID and XBM."""
    weight: Float[Array, " B"] | None = None
    """How much a row counts in L_ReID and XBM; None: each reliable row as much."""


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
    moved = moved_banks(frame, slots, ByDomain(source, target), outputs)
    learnt = []
    for domain, batch, output in zip(("source", "target"), (source, target), outputs, strict=True):
        if batch is None or output is None:
            continue
        logits = class_logits(config.man, output, params["heads"], slots.banks)
        weight = batch.weight if config.man.reliability == "score" else None
        classes = frame.space.of(domain, batch.label)
        learnt.append(Learnt(output._replace(logits=logits), classes, batch.reliable, weight))
    queue = enqueue(
        slots.queue,
        jnp.concatenate([each.outputs.features.fused_pooled for each in learnt]),
        jnp.concatenate([each.labels for each in learnt]),
        mask=jnp.concatenate([each.reliable for each in learnt]),
    )
    banks = slots.aligned or slots.banks
    known = {"queue": queue, "exists": existing(config.man, slots), "config": config}
    known["identity_weight"] = target_identity_weight(config, slots.updates)
    if source is None:
        value, terms = unsupervised_loss(*learnt, bank=banks.target, **known)
    else:
        value, terms = adaptation_loss(
            *learnt, banks=banks, moved_banks=moved.aligned or moved.banks, **known
        )
    return value, Change(statistics, moved._replace(queue=queue), terms)


def moved_banks(
    frame: Frame, slots: Slots, batches: ByDomain[Batch | None], outputs: ByDomain[Outputs | None]
) -> Slots:
    """Move the prototypes of both domains towards the batch's features (Eq. 11), of Unit(f) and of Unit(g)."""
    config = frame.config.man
    banks, aligned = list(slots.banks), slots.aligned and list(slots.aligned)
    for place, (batch, output) in enumerate(zip(batches, outputs, strict=True)):
        if batch is None or output is None:
            continue
        for pair, modal in ((banks, output.features.modal_unit), (aligned, output.features.pooled_unit)):
            if pair:
                pair[place] = move_bank(
                    pair[place],
                    modal,
                    output.features.fused_unit,
                    batch.label,
                    mask=batch.reliable,
                    momentum=config.momentum,
                    form=config.moving_form,
                )
    return slots._replace(banks=ByDomain(*banks), aligned=aligned and ByDomain(*aligned))


def class_logits(
    man: Config, outputs: Outputs, heads: dict[str, Any], banks: ByDomain[Bank]
) -> Float[Array, "M+1 B L"]:
    """Compute the logits that L_id reads, by the head of `config.man.head`."""
    if man.head == "linear":
        return outputs.logits
    if man.head == "cosine":
        return cosine_logits(outputs, heads, temperature=man.head_temperature)
    modal = jnp.concatenate([bank.modal for bank in banks], axis=1)
    fused = jnp.concatenate([bank.fused for bank in banks])
    return memory_logits(outputs, modal, fused, temperature=man.head_temperature)


def existing(man: Config, slots: Slots) -> Bool[Array, " C"] | None:
    """Tell which classes the softmax knows; a memory knows those that have a prototype."""
    if man.head == "memory":
        return jnp.concatenate([bank.valid for bank in slots.banks])
    return slots.exists


def target_identity_weight(config: Config, updates: Int32[Array, ""] | None) -> Float[Array, ""] | float:
    """Give the weight of the target's L_id in this step."""
    if config.man.identity_target == "ramp":
        return updates / (config.adapt.epochs * config.adapt.iterations)
    return {"on": 1.0, "off": 0.0}[config.man.identity_target]


def adaptation_loss(
    source: Learnt,
    target: Learnt,
    *,
    banks: ByDomain[Bank],
    moved_banks: ByDomain[Bank],
    queue: CrossBatch,
    exists: Bool[Array, " C"] | None = None,
    identity_weight: Float[Array, ""] | float = 1.0,
    config: Config,
) -> tuple[Float[Array, ""], Terms]:
    """Sum L = L_ReID(source) + L_ReID(target) + w L_XBM + α L_PDA + β L_MMA (Eq. 23); return its terms too.

    w is `memory_weight`; `identity_weight` is the factor of L_id in L_ReID(target), 1 in the paper. Only reliable
    target samples count in L_ReID and L_XBM. `banks` are the banks before this batch, `moved_banks` those after it
    (Eq. 11). `queue` already holds this batch, as in the reference code of XBM.
    """
    man = config.man
    identity_source, triplet_source = reid_loss(
        source.outputs,
        source.labels,
        mask=source.reliable,
        weight=source.weight,
        exists=exists,
        **config.loss,
    )
    identity_target, triplet_target = reid_loss(
        target.outputs,
        target.labels,
        mask=target.reliable,
        weight=target.weight,
        exists=exists,
        **config.loss,
    )
    cross_batch = cross_batch_loss([source, target], queue, config)
    instances = (aligned_features(source, man), aligned_features(target, man))
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
    reid = identity_source + triplet_source + identity_weight * identity_target + triplet_target
    alignment = man.alpha * (domain["intra"] + domain["inter"]) + man.beta * modality
    return reid + man.memory_weight * cross_batch + alignment, terms


def unsupervised_loss(
    target: Learnt,
    *,
    bank: Bank,
    queue: CrossBatch,
    exists: Bool[Array, " C"] | None = None,
    identity_weight: Float[Array, ""] | float = 1.0,
    config: Config,
) -> tuple[Float[Array, ""], Terms]:
    """Sum L = L_ReID(target) + w L_XBM + β L_MMA, the loss of the US protocol; without a source there is no PDA.

    Differs from the paper: the paper does not say what MMA is here. We put the target in the place of both domains,
    so L_MMA = L_uma(t, t).
    """
    man = config.man
    identity, triplet = reid_loss(
        target.outputs,
        target.labels,
        mask=target.reliable,
        weight=target.weight,
        exists=exists,
        **config.loss,
    )
    cross_batch = cross_batch_loss([target], queue, config)
    instances = aligned_features(target, man)
    # Eq. 20 adds two directions, which are here the same one.
    modality = modality_loss(instances, instances, banks=ByDomain(bank, bank), man=man) / 2.0
    terms = {
        "identity_target": identity,
        "triplet_target": triplet,
        "memory": cross_batch,
        "modality": modality,
    }
    return identity_weight * identity + triplet + man.memory_weight * cross_batch + man.beta * modality, terms


def aligned_features(batch: Learnt, man: Config) -> Float[Array, "M B D"]:
    """Give the features that PDA and MMA read."""
    features = batch.outputs.features
    return features.pooled_unit if man.aligned == "pooled" else features.modal_unit


def cross_batch_loss(batches: list[Learnt], queue: CrossBatch, config: Config) -> Float[Array, ""]:
    """Compute L_XBM of all domains' batches together, on the fused features before the neck."""
    weights = [batch.weight for batch in batches if batch.weight is not None]
    return queue_triplet(
        jnp.concatenate([batch.outputs.features.fused_pooled for batch in batches]),
        jnp.concatenate([batch.labels for batch in batches]),
        queue,
        mask=jnp.concatenate([batch.reliable for batch in batches]),
        weight=jnp.concatenate(weights) if weights else None,
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
    """Count the step and move the mean teacher, if there is one; `loss` has already moved the banks."""
    slots = state.slots
    if slots.updates is None:
        return state
    if slots.teacher is not None:
        student = {"params": state.params, "statistics": state.statistics}
        moved = moving_average(slots.teacher, student, step=slots.updates, alpha=frame.config.man.teacher)
        slots = slots._replace(teacher=moved)
    return state.replace(slots=slots._replace(updates=slots.updates + 1))


def weights(config: Config) -> dict[str, float]:
    """Give the factors of the terms in the total (Eq. 23); a term that is not named has the factor 1."""
    man = config.man
    return {
        "memory": man.memory_weight,
        "domain_intra": man.alpha,
        "domain_inter": man.alpha,
        "modality": man.beta,
        "identity_target": 0.0 if man.identity_target == "off" else 1.0,
    }
