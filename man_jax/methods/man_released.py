"""MAN as its authors' code computes it, where that differs from the paper; man.py is MAN as the paper has it.

PDA and MMA read g, before the neck. Each batch first moves the prototypes by raw g, without bringing them back to unit
length, and PDA and MMA read them after that, with the gradient of the move. XBM reads f_F, after the neck of the
fusion. The fusion takes part in PDA. Heads keep the optimiser's moments when their columns change.

Source: the code that the authors of MAN published. `configs/EXPERIMENT.py:released` sets this method, and what that
code does elsewhere: images, network, optimiser, schedule, K-means. docs/READINGS.md lists what is not followed and why.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, PRNGKeyArray

from man_jax.array_math import unit
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
from man_jax.losses.domain import alignment_loss, maximum_mean_discrepancy
from man_jax.losses.modality import modality_margins
from man_jax.losses.reid import reid_loss
from man_jax.memories.centres import cluster_centres
from man_jax.memories.cross_batch import CrossBatch, empty_queue, queue_triplet
from man_jax.memories.prototypes import Bank, empty_bank, make_bank
from man_jax.memories.raw_prototypes import move_raw_bank, sample_bank
from man_jax.memories.restarting_queue import enqueue_restarting
from man_jax.networks.heads import put_columns
from man_jax.networks.three_branch import Outputs, Variables, concatenate_modalities

KEYS = {
    # Labels of the target
    "labels": Key(
        "cpa", "cpa | fusion: plain K-means of the fusion, all reliable (Table 4)", ("cpa", "fusion")
    ),
    "rule": Key("fusion_vote", "whose label wins", ("fusion_vote", "majority", "fusion_label")),
    "threshold": Key(0.4, "σ of Eq. 6; ours: admits three of four", least=0, largest=1),
    # Prototypes and heads
    "prototype_weights": Key("softmax", "of Eq. 7; average: Table 6", ("softmax", "average")),
    "temperature": Key(0.1, "τ of Eq. 7; below 1e-6 float32 tells none apart", least=1e-6),
    "momentum": Key(0.99, "λ of Eq. 11; paper §4.2", least=0, largest=1),
    "target_bank": Key(
        "prototypes", "of clusters; samples: what the code ends up with", ("prototypes", "samples")
    ),
    "target_columns": Key(
        "centres",
        "of the fused head: K-means centres each epoch, from epoch 2 on, or learnt",
        ("centres", "later", "learnt"),
    ),
    "source_columns": Key(
        "means", "of all heads, before epoch 1: class means, or learnt", ("means", "learnt")
    ),
    # Terms and their weights
    "identity_weight": Key(1.0, "weight of L_id of both domains; 0 for the target WMVeID863", least=0),
    "triplet_form": Key("soft", "of adaptation; pre-training has loss.triplet_form", ("soft", "hinge")),
    "memory_weight": Key(1.0, "weight of XBM", least=0),
    "memory_size": Key(0, "XBM entries; 0: one a training triple of both domains", least=0),
    "alpha": Key(1.0, "weight of PDA; paper §4.5.4", least=0),
    "domain_pairs": Key("ins_proto", "what is aligned: Table 5", ("ins_proto", "ins_ins", "proto_proto")),
    "beta": Key(0.8, "weight of MMA; paper §4.5.4", least=0),
    "modality_margin": Key(0.5, "margin_m; paper §4.2", least=0),
    "modality_distance": Key(
        "cosine", "of MMA; squared for the targets RGBNT100 and Market1501-MM", ("cosine", "squared")
    ),
}

DOMAIN_TERMS = ("domain_intra", "domain_inter", "domain_fused")


class Slots(NamedTuple):
    """The arrays that the method adds to the state."""

    banks: ByDomain[Bank]
    queue: CrossBatch
    epochs: Int32[Array, ""]
    """How many epochs have begun."""


class Learnt(NamedTuple):
    """A batch of one domain with its outputs, and the domain's prototypes after the batch has moved them."""

    outputs: Outputs
    labels: Int32[Array, " B"]
    """Classes: source identities, then clusters."""
    reliable: Bool[Array, " B"]
    bank: Bank

    @property
    def instances(self) -> Bank:
        """Unit(g) of the modalities and f_F as it is, in the form of prototypes."""
        fused = self.outputs.fused_normed
        return Bank(self.outputs.features.pooled_unit, fused, jnp.ones(fused.shape[0], bool))


def networks(config: Config) -> tuple[Network, ...]:
    """Give the place of the one network, which the optimiser updates."""
    del config
    return (TRAINED,)


def capacity(config: Config, num_triples: int) -> int:
    """Give the number of clusters, k of K-means."""
    del num_triples
    return config.adapt.num_clusters


def start(frame: Frame, state: TrainState) -> TrainState:
    """Add empty banks and an empty queue."""
    model, space, own = frame.model, frame.space, frame.config.man_released
    empty = partial(empty_bank, num_modalities=model.num_modalities, dim=model.dim)
    rows = frame.num_triples.target if own.target_bank == "samples" else space.capacity
    banks = ByDomain(empty(num_classes=space.num_source), empty(num_classes=rows))
    entries = own.memory_size or sum(frame.num_triples)
    queue = empty_queue(capacity=entries, dim=model.num_modalities * model.dim)
    return state.replace(slots=Slots(banks, queue, jnp.int32(0)))


# --- the start of an epoch


def label(
    frame: Frame,
    state: TrainState,
    features: tuple[FeatureTable, ...],
    cameras: Int32[np.ndarray, " N"],
    epoch: int,
) -> Labels:
    """Cluster R, N, T and F after the neck, align the clusterings, keep labels on which they agree (Eq. 1–6)."""
    del state, cameras
    (table,) = features
    own, num_clusters = frame.config.man_released, frame.config.adapt.num_clusters
    clusters = cluster_tables([*table.modal, table.fused], **kmeans_settings(frame.config, epoch))
    rule = own.rule if own.labels == "cpa" else "plain"
    settled = align_pseudo_labels(
        clusters[:FUSION], clusters[FUSION], num_clusters=num_clusters, rule=rule, threshold=own.threshold
    )
    names = [*frame.config.model.modalities, "F"]
    return Labels(
        settled.labels[:, None],
        settled.reliable.astype(np.float32),
        num_clusters=num_clusters,
        clusterings=dict(zip(names, settled.aligned, strict=True)),
    )


def begin_epoch(
    frame: Frame, state: TrainState, features: EpochFeatures, labels: ByDomain[Labels]
) -> TrainState:
    """Build the target's bank, and at epoch 1 the source's; give the heads their columns.

    Neither the optimiser's moments nor the queue forget anything.
    """
    slots: Slots = state.slots
    first = int(slots.epochs) == 0
    source, heads = slots.banks.source, dict(state.params["heads"])
    if features.source is not None and first:
        source = new_bank(frame, features.source, labels.source, num_classes=frame.space.num_source)
        heads = with_class_means(frame, heads, features.source, labels.source)
    samples = frame.config.man_released.target_bank == "samples"
    target = new_bank(
        frame, features.target, labels.target, num_classes=frame.space.capacity, samples=samples
    )
    if not np.all(labels.target.continued):
        heads = with_centres(frame, heads, features.target, labels.target, first=first)
    banks = ByDomain(source, target)
    return state.replace(
        params={**state.params, "heads": heads},
        slots=slots._replace(banks=banks, epochs=slots.epochs + 1),
    )


def new_bank(
    frame: Frame, tables: tuple[FeatureTable, ...], known: Labels, *, num_classes: int, samples: bool = False
) -> Bank:
    """Build the prototypes of one domain from Unit(g); with `samples`, take each reliable triple for a prototype."""
    own, (table,) = frame.config.man_released, tables
    mask = known.weight > 0
    fused = unit(concatenate_modalities(jnp.asarray(table.pooled)))
    if samples:
        return sample_bank(jnp.asarray(table.pooled), fused, jnp.asarray(mask))
    kind = {"weights": own.prototype_weights, "temperature": own.temperature}
    return make_bank(
        table.pooled, np.asarray(fused), known.labels[:, 0], num_classes=num_classes, mask=mask, **kind
    )


def with_class_means(
    frame: Frame, heads: Variables, tables: tuple[FeatureTable, ...], known: Labels
) -> Variables:
    """Make the source's columns of all heads the class means of Unit(f), of unit length."""
    if frame.config.man_released.source_columns == "learnt":
        return heads
    (table,), labels = tables, jnp.asarray(known.labels[:, 0])

    def means(rows):
        return cluster_centres(rows, labels, num_classes=frame.space.num_source)

    modal, valid = jax.vmap(means)(jnp.asarray(table.modal))
    fused, _ = means(jnp.asarray(table.fused))
    rows = {"modal": modal, "fused": fused}
    return {
        name: {"kernel": put_columns(head["kernel"], rows[name], first=0, valid=valid[0])}
        for name, head in heads.items()
    }


def with_centres(
    frame: Frame, heads: Variables, tables: tuple[FeatureTable, ...], known: Labels, *, first: bool
) -> Variables:
    """Make the target's columns of the fused head the centres of the fusion's clusters, of unit length."""
    columns, (table,) = frame.config.man_released.target_columns, tables
    if columns == "learnt" or (columns == "later" and first):
        return heads
    centres, valid = cluster_centres(
        jnp.asarray(table.fused), jnp.asarray(known.clusterings["F"]), num_classes=frame.space.capacity
    )
    kernel = put_columns(heads["fused"]["kernel"], centres, first=frame.space.num_source, valid=valid)
    return {**heads, "fused": {"kernel": kernel}}


# --- a step


def loss(
    frame: Frame,
    params: Variables,
    state: TrainState,
    source: Batch | None,
    target: Batch,
    key: PRNGKeyArray,
) -> tuple[Float[Array, ""], Change]:
    """Pass both domains through the network, move prototypes and queue, sum the terms that read them."""
    own, slots = frame.config.man_released, state.slots
    outputs, statistics = pass_domains(frame, params, state.statistics, views(frame, key, source, target))
    learnt: dict[str, Learnt] = {}
    for domain, batch, output in zip(("source", "target"), (source, target), outputs, strict=True):
        if batch is None or output is None:
            continue
        bank = move_raw_bank(
            getattr(slots.banks, domain),
            output.features.pooled,
            output.features.fused_pooled,
            batch.label,
            mask=batch.reliable,
            momentum=own.momentum,
        )
        labels = frame.space.of(domain, batch.label)
        learnt[domain] = Learnt(output, labels, batch.reliable, bank)
    terms, queue = supervised_terms(learnt, slots.queue, frame.config)
    terms |= modality_terms(learnt, own)
    if source is not None:
        terms |= domain_terms(learnt["source"], learnt["target"], own)
    factors = weights(frame.config)
    total = sum((factors.get(name, 1.0) * term for name, term in terms.items()), start=jnp.zeros(()))
    banks = slots.banks._replace(**{domain: each.bank for domain, each in learnt.items()})
    return total, Change(statistics, slots._replace(banks=banks, queue=queue), terms)


def supervised_terms(
    learnt: dict[str, Learnt], queue: CrossBatch, config: Config
) -> tuple[Terms, CrossBatch]:
    """Compute L_id and L_triplet of each domain and L_XBM of both; give the queue, which the batch enters first.

    L_XBM reads f_F, by a hinge without margin.
    """
    terms = {}
    form = {**config.loss, "triplet_form": config.man_released.triplet_form}
    for domain, each in learnt.items():
        identity, triplet = reid_loss(each.outputs, each.labels, mask=each.reliable, **form)
        terms |= {f"identity_{domain}": identity, f"triplet_{domain}": triplet}
    features = jnp.concatenate([each.outputs.fused_normed for each in learnt.values()])
    labels = jnp.concatenate([each.labels for each in learnt.values()])
    mask = jnp.concatenate([each.reliable for each in learnt.values()])
    queue = enqueue_restarting(queue, features, labels, mask=mask)
    memory = queue_triplet(features, labels, queue, mask=mask, form="hinge", margin=0.0)
    return {**terms, "memory": memory}, queue


def domain_terms(source: Learnt, target: Learnt, own: Config) -> Terms:
    """Compute L_PDA without a margin: of one modality, of two modalities, and of the fusion."""
    pairs = {
        "ins_proto": [(source.instances, target.bank), (target.instances, source.bank)],
        "ins_ins": 2 * [(source.instances, target.instances)],
        "proto_proto": 2 * [(source.bank, target.bank)],
    }[own.domain_pairs]
    terms: Terms = dict.fromkeys(DOMAIN_TERMS, jnp.zeros(()))
    for x, y in pairs:
        valid: Any = {"x_valid": x.valid, "y_valid": y.valid}
        halves = alignment_loss(x.modal, y.modal, **valid, inter="plain")
        terms["domain_intra"] += halves["intra"]
        terms["domain_inter"] += halves["inter"]
        terms["domain_fused"] += maximum_mean_discrepancy(x.fused, y.fused, **valid)
    return terms


def modality_terms(learnt: dict[str, Learnt], own: Config) -> Terms:
    """Compute L_MMA: the largest of the pairs of modalities, and between domains of equal modalities.

    Under the US protocol the instances of the target meet the prototypes of the target.
    """
    domains = list(learnt.values())
    margins = [
        modality_margins(
            here.instances.modal,
            there.bank.modal,
            there.bank.valid,
            margin=own.modality_margin,
            distance=own.modality_distance,
            reduction="max",
            pairing="equal",
        )
        for here, there in zip(domains, reversed(domains), strict=True)
    ]
    return {"modality": sum(margins, start=jnp.zeros(()))}


def after_update(frame: Frame, state: TrainState) -> TrainState:
    """Leave the state as it is, because `loss` has already moved banks and queue."""
    del frame
    return state


def weights(config: Config) -> dict[str, float]:
    """Give the factors of the terms in the total; a term that is not named has the factor 1."""
    own = config.man_released
    factors: dict[str, float] = dict.fromkeys(DOMAIN_TERMS, own.alpha)
    factors |= dict.fromkeys(("identity_source", "identity_target"), own.identity_weight)
    return factors | {"memory": own.memory_weight, "modality": own.beta}
