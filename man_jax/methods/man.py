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

from man_jax.clustering.camera_statistics import standardise_by_camera
from man_jax.clustering.continuity import continue_numbers
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
    TrainState,
    kmeans_settings,
    pass_domains,
    views,
)
from man_jax.keys import Key
from man_jax.memories.cross_batch import CrossBatch, empty_queue, enqueue, flush
from man_jax.memories.moving_average import moving_average
from man_jax.memories.prototypes import Bank, empty_bank, make_bank, move_bank
from man_jax.networks.class_logits import class_logits
from man_jax.networks.heads import forget_columns, set_columns
from man_jax.networks.three_branch import Outputs, Variables
from man_jax.objectives.man import Form, Learnt, adaptation_loss, unsupervised_loss

KEYS = {
    # Labels of the target
    "labels": Key("cpa", "fusion: its plain clusters, all reliable (Table 4)", ("cpa", "fusion")),
    "rule": Key("fusion_vote", "whose label wins; ours", ("fusion_vote", "majority", "fusion_label")),
    "threshold": Key(0.4, "σ of Eq. 6; ours: admits three of four", least=0, largest=1),
    "cameras": Key("ignored", "standardised: what is clustered; ours", ("ignored", "standardised")),
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
    "reliability": Key("threshold", "weight of a sample; ours", ("threshold", "score")),
    "across_epochs": Key("continued", "cluster numbers and columns; ours", ("continued", "renewed")),
    "teacher": Key(0.0, "α of a mean teacher; 0: none; ours", least=0, largest=0.9999),
    # Prototypes and heads
    "prototype_weights": Key("softmax", "of Eq. 7; average: Table 6", ("softmax", "average")),
    "temperature": Key(1.0, "τ of Eq. 7; released: 0.1; below 1e-6 float32 tells none apart", least=1e-6),
    "momentum": Key(0.99, "λ of Eq. 11; paper §4.2", least=0, largest=1),
    "moving_form": Key("batch_mean", "of several of a class, Eq. 11; ours", ("batch_mean", "sequential")),
    "head_norm": Key("matched", "of new target columns; unit: 1, not the source's", ("matched", "unit")),
    "head": Key("linear", "logits of L_id; others: ours", ("linear", "cosine", "memory")),
    "head_temperature": Key(0.05, "τ of the heads cosine and memory; ours", least=1e-3),
    # Weights of Eq. 23
    "identity_target": Key("on", "L_id of the target; others: ours", ("on", "off", "ramp")),
    "modal_weight": Key(1.0, "of L_ReID of R, N and T beside that of F; ours", least=0),
    "alpha": Key(1.0, "weight of PDA; paper §4.5.4", least=0),
    "beta": Key(0.8, "weight of MMA; paper §4.5.4", least=0),
    "memory_weight": Key(1.0, "weight of XBM; ours", least=0),
    "memory_size": Key(0, "XBM entries; 0: one a training triple of both domains", least=0),
    "memories": Key("replicated", "of banks, XBM, heads on devices", ("replicated", "sharded")),
    # PDA and MMA, which read
    "aligned": Key("pooled", "Unit(g) | normed: Unit(f)", ("pooled", "normed")),
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
    aligned: ByDomain[Bank] | None = None
    """The prototypes that PDA and MMA read, of Unit(g); None: they read `banks`."""
    last: Int32[Array, " N"] | None = None
    """The target's labels of the last epoch; −1 before the first one. None: no epoch asks for them."""
    updates: Int32[Array, ""] | None = None
    """The number of steps so far; None: nothing depends on it."""
    teacher: Variables | None = None
    """The mean teacher's {params, statistics}; None: there is none."""


SHARDED = {
    "slots.banks.*.modal": 1,
    "slots.banks.*.fused": 0,
    "slots.aligned.*.modal": 1,
    "slots.aligned.*.fused": 0,
    "slots.queue.features": 0,
    "*heads.*.kernel": -2,  # along the features: no padding, so checkpoints have their shapes on any devices
}
"""The arrays that may be divided among the devices, by patterns of their places in the state, and the axes."""
TEACHER = Network(
    params=("slots", "teacher", "params"),
    source=("slots", "teacher", "statistics", "source"),
    target=("slots", "teacher", "statistics", "target"),
)


def networks(config: Config) -> tuple[Network, ...]:
    """Give the place of the one network: the teacher, or without one the network that the optimiser updates."""
    return (TEACHER,) if config.man.teacher else (TRAINED,)


def capacity(config: Config, num_triples: int) -> int:
    """Give the largest number of clusters that an epoch may have; k, where it is given."""
    if is_number_given(config.man.clusters, config.man.count):
        return config.adapt.num_clusters
    return config.man.capacity or max(1, num_triples // config.man.min_samples)


def is_sharded(config: Config) -> bool:
    """Tell whether the arrays of `SHARDED` are divided among the devices."""
    return config.man.memories == "sharded"


def start(frame: Frame, state: TrainState) -> TrainState:
    """Add empty banks and an empty queue, and what the keys ask for besides."""
    model, space, config = frame.model, frame.space, frame.config.man
    sizes: Any = {"num_modalities": model.num_modalities, "dim": model.dim, "layout": frame.layout}
    entries = config.memory_size or sum(frame.num_triples)
    banks = ByDomain(
        empty_bank(num_classes=space.num_source, **sizes), empty_bank(num_classes=space.capacity, **sizes)
    )
    queue = empty_queue(capacity=entries, dim=model.num_modalities * model.dim, layout=frame.layout)
    slots = Slots(
        banks,
        queue,
        exists=None if is_number_given(config.clusters, config.count) else space.exists(0),
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
    (table,) = features
    modal, fused = table.modal, table.fused
    if frame.config.man.cameras == "standardised":
        modal, fused = standardise_by_camera(modal, cameras)
    config, num_clusters = frame.config.man, frame.config.adapt.num_clusters
    if config.clusters == "kmeans":
        clusters = cluster_tables([*modal, fused], **kmeans_settings(frame.config, epoch))
    else:
        near = {"neighbours": config.neighbours, "vote": config.vote, "k1": config.k1, "k2": config.k2}
        cut = {"count": config.count, "cut": config.cut, "eps": config.eps, "min_samples": config.min_samples}
        room: Any = {"num_clusters": num_clusters, "most": frame.space.capacity}
        kind: Any = {"clusters": config.clusters, **near, **cut, **room}
        clusters = cluster_by_neighbours(modal, fused, with_modalities=config.labels == "cpa", **kind)
        num_clusters = int(clusters[FUSION].max(initial=-1)) + 1
    rule = config.rule if config.labels == "cpa" else "plain"
    settled = align_pseudo_labels(
        clusters[:FUSION], clusters[FUSION], num_clusters=num_clusters, rule=rule, threshold=config.threshold
    )
    weight = settled.scores if config.reliability == "score" and config.labels == "cpa" else settled.reliable
    rows = [*frame.config.model.modalities, "F"][-len(clusters) :]
    found = Labels(
        settled.labels[:, None],
        weight.astype(np.float32),
        num_clusters,
        clusterings=dict(zip(rows, settled.aligned, strict=True)),
        estimated=not is_number_given(config.clusters, config.count),
    )
    if state.slots.last is None:
        return found
    last = np.asarray(state.slots.last)
    labels, kept = continue_numbers(settled.labels, last, capacity=frame.space.capacity)
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
        has_members = np.isin(np.arange(space.capacity), known.labels[:, 0])
        slots = slots._replace(exists=jnp.asarray(np.append(np.ones(space.num_source, bool), has_members)))
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
        layout=frame.layout,
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
                layout=frame.layout,
            )
    return ByDomain(*new)


# --- a step


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
        logits = class_logits(
            output,
            params["heads"],
            [(bank.modal, bank.fused) for bank in slots.banks],
            head=config.man.head,
            temperature=config.man.head_temperature,
            num_classes=[bank.valid.shape[0] for bank in slots.banks],
            layout=frame.layout,
        )
        weight = batch.weight if config.man.reliability == "score" else None
        classes = frame.space.of(domain, batch.label)
        learnt.append(Learnt(output._replace(logits=logits), classes, batch.reliable, weight))
    queue = enqueue(
        slots.queue,
        jnp.concatenate([each.outputs.features.fused_pooled for each in learnt]),
        jnp.concatenate([each.labels for each in learnt]),
        mask=jnp.concatenate([each.reliable for each in learnt]),
        layout=frame.layout,
    )
    banks = slots.aligned or slots.banks
    exists = slots.exists
    if config.man.head == "memory":  # which knows the classes that have a prototype
        exists = jnp.concatenate([bank.valid for bank in slots.banks])
    form = objective_form(config, slots.updates)._replace(layout=frame.layout)
    known = {"queue": queue, "exists": exists, "form": form}
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
                    layout=frame.layout,
                )
    return slots._replace(banks=ByDomain(*banks), aligned=aligned and ByDomain(*aligned))


def objective_form(config: Config, updates: Int32[Array, ""] | None) -> Form:
    """Give the readings and the factors of the total; the target's L_id may depend on the number of steps so far."""
    man = config.man
    if man.identity_target == "ramp":
        identity_weight = updates / (config.adapt.epochs * config.adapt.iterations)
    else:
        identity_weight = {"on": 1.0, "off": 0.0}[man.identity_target]
    return Form(
        reid={**config.loss, "modal_weight": man.modal_weight},
        domain={"margin": man.domain_margin, "inter": man.domain_inter, "kernel": man.domain_kernel},
        modality={
            "margin": man.modality_margin,
            "distance": man.modality_distance,
            "reduction": man.modality_reduction,
            "pairing": man.modality_pairing,
        },
        pairs=man.domain_pairs,
        aligned=man.aligned,
        alpha=man.alpha,
        beta=man.beta,
        memory_weight=man.memory_weight,
        identity_weight=identity_weight,
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
