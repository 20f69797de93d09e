"""IDM, the intermediate domain module: joint training of source, target and a mixture of their maps.

Each epoch clusters the target's fused features and gives the heads the clusters' centres as columns. In each step,
after the stage `stage` of the network, a module mixes the maps of each source triple with those of a target triple, in
shares that it learns. The mixtures go through the rest of the network too. They learn from both labels, in the same
shares, and are drawn to both features (the bridges), and the shares of a batch are kept apart (diversity). Source,
target and mixtures have norms of their own; those of the target are tested. XBM extends the triplets.

Source: Dai et al., "IDM: an intermediate domain module for domain adaptive person re-ID", ICCV 2021.
Differs from the source: the source has one modality, and here the fused feature is clustered and learnt from, and the
maps of all modalities of a triple are mixed in the same shares. The network is pre-trained on the source. XBM
overwrites its oldest entries, and forgets those of clusters whose numbers have a new meaning.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, PRNGKeyArray

from man_jax.config import Config
from man_jax.frame import (
    Batch,
    ByDomain,
    Change,
    EpochFeatures,
    FeatureTable,
    Frame,
    Labels,
    Network,
    TrainState,
    views,
)
from man_jax.keys import Key
from man_jax.losses.bridge import feature_bridge, mixed_cross_entropy, share_diversity
from man_jax.losses.identity import batch_hard_triplet, smoothed_cross_entropy
from man_jax.losses.weighted import weighted_mean
from man_jax.memories.cross_batch import CrossBatch, empty_queue, enqueue, flush, queue_triplet
from man_jax.memories.prototypes import Bank, make_bank
from man_jax.method_parts.cluster_rows import cluster_rows, most_clusters, plain_labels
from man_jax.networks.domain_mixing import new_mixing
from man_jax.networks.domain_norms import norms_of
from man_jax.networks.domain_streams import pass_streams
from man_jax.networks.heads import forget_columns, put_columns, set_columns
from man_jax.randomness import epoch_key

NEEDS = ("stages", "source")

KEYS = {
    "stage": Key(0, "whose maps are mixed; 0: the stem; source §4.2, paper", least=0),
    "mixed_identity": Key(
        0.7, "μ1: share of the mixtures' cross-entropy, beside the plain one", least=0, largest=1
    ),
    "bridge": Key(0.1, "μ2: weight of the feature bridge; source §4.2, paper", least=0),
    "diversity": Key(1.0, "μ3: weight of the diversity of the shares; source §4.2, paper", least=0),
    "memory_weight": Key(1.0, "weight of XBM; 0: the source's naive baseline", least=0),
    "memory_size": Key(0, "XBM entries; 0: one a training triple of both domains", least=0),
    "clusters": Key(
        "kmeans", "k is adapt.num_clusters | dbscan: on the Jaccard distance (source)", ("kmeans", "dbscan")
    ),
    "eps": Key(0.6, "Jaccard distance within which samples are near; source", least=0, largest=0.99),
    "min_samples": Key(
        4, "near samples, itself among them, that make a sample the core of a cluster", least=1
    ),
    "k1": Key(30, "neighbours that are compared; about the images of an identity; source", least=1),
    "k2": Key(6, "neighbours whose encodings are averaged; at most k1; source", least=1),
    "capacity": Key(0, "clusters there is room for; 0: one in min_samples triples", least=0),
    "source_columns": Key(
        "centres", "of the heads, before epoch 1: unit class means (source), or learnt", ("centres", "learnt")
    ),
    "head_norm": Key(
        "unit", "of new target columns: 1 (source), or the source's mean norm", ("unit", "matched")
    ),
}

TESTED = Network(
    params=("params", "network"), source=("statistics", "target"), target=("statistics", "target")
)
"""The network with the target's norms, through which all images go in evaluation, as in the source's code."""


class Slots(NamedTuple):
    """The arrays that IDM adds to the state."""

    queue: CrossBatch
    """XBM: past fused features with their classes."""
    exists: Bool[Array, " C"]
    """Marks the classes that take part in the softmax."""
    epochs: Int32[Array, ""]
    """How many epochs have begun."""


def networks(config: Config) -> tuple[Network, ...]:
    """Give the place of the one network, with the norms of the target."""
    del config
    return (TESTED,)


def capacity(config: Config, num_triples: int) -> int:
    """Give the largest number of clusters that an epoch may have."""
    return most_clusters(config, config.idm, num_triples)


def start(frame: Frame, state: TrainState) -> TrainState:
    """Add the mixing module, the norms of source and mixtures, and an empty queue.

    All norms start from the pre-trained ones. The parameters are {network, norms, mixing}; those of the network hold
    the norms of the target.
    """
    own, model, space = frame.config.idm, frame.model, frame.space
    variables = {"params": state.params, "batch_stats": state.statistics.target}
    image = jax.ShapeDtypeStruct((1, model.num_modalities, *frame.config.data.image_size, 3), jnp.float32)
    maps, _ = jax.eval_shape(partial(model.maps, train=False, last=own.stage), variables, image)
    channels = model.num_modalities * maps[-1].shape[-1]
    norms = norms_of(state.params, state.statistics.target)
    entries = own.memory_size or sum(frame.num_triples)
    return state.replace(
        params={
            "network": state.params,
            "norms": {"source": norms, "mixed": norms},
            "mixing": new_mixing(epoch_key(frame.config.seed, "mixing module", 0), channels=channels),
        },
        statistics={**state.statistics._asdict(), "mixed": state.statistics.target},
        slots=Slots(
            empty_queue(capacity=entries, dim=model.num_modalities * model.dim),
            space.exists(space.capacity),
            jnp.int32(0),
        ),
    )


def label(
    frame: Frame,
    state: TrainState,
    features: tuple[FeatureTable, ...],
    cameras: Int32[np.ndarray, " N"],
    epoch: int,
) -> Labels:
    """Cluster the fused features; samples in no cluster have label −1 and weight 0."""
    del state, cameras
    (table,) = features
    own = frame.config.idm
    return plain_labels(own, cluster_rows(frame, own, table.fused, epoch))


def begin_epoch(
    frame: Frame,
    state: TrainState,
    features: EpochFeatures,
    labels: ByDomain[Labels],
) -> TrainState:
    """Give the heads the target's centres as columns, and once the source's; forget what the old clusters left."""
    own, space, slots = frame.config.idm, frame.space, state.slots
    heads, opt_state, queue = state.params["network"]["heads"], state.opt_state, slots.queue
    if features.source is not None and own.source_columns == "centres" and int(slots.epochs) == 0:
        centres = class_means(features.source[0], labels.source, num_classes=space.num_source)
        for name, rows in (("modal", centres.modal), ("fused", centres.fused)):
            columns = put_columns(heads[name]["kernel"], rows, first=0, valid=centres.valid)
            heads = {**heads, name: {"kernel": columns}}
    if not np.all(labels.target.continued):
        centres = class_means(features.target[0], labels.target, num_classes=space.capacity)
        heads = set_columns(
            heads,
            centres.modal,
            centres.fused,
            first=space.num_source,
            valid=centres.valid,
            norm=own.head_norm,
        )
        opt_state = forget_columns(opt_state, first=space.num_source)
        queue = flush(queue, first_label=space.num_source)
    network = {**state.params["network"], "heads": heads}
    return state.replace(
        params={**state.params, "network": network},
        opt_state=opt_state,
        slots=Slots(queue, space.exists(labels.target.num_clusters), slots.epochs + 1),
    )


def class_means(table: FeatureTable, labels: Labels, *, num_classes: int) -> Bank:
    """Compute the mean feature of each class, of unit length, of the modalities and of the fusion."""
    return make_bank(
        table.modal,
        table.fused,
        labels.labels[:, 0],
        num_classes=num_classes,
        mask=labels.weight > 0,
        weights="average",
        temperature=1.0,
    )


def loss(
    frame: Frame,
    params: dict[str, Any],
    state: TrainState,
    source: Batch | None,
    target: Batch,
    key: PRNGKeyArray,
) -> tuple[Float[Array, ""], Change]:
    """Pass source, target and their mixtures through the network, fill the queue, and sum the terms.

    Raises:
        ValueError: there is no source to mix with (`NEEDS` keeps such a run from its start).
    """
    if source is None:
        raise ValueError("config.adapt.protocol is 'us', and the method idm mixes both domains; choose uda")
    own, space, exists = frame.config.idm, frame.space, state.slots.exists
    triplets = {"form": frame.config.loss.triplet_form, "margin": frame.config.loss.triplet_margin}
    outputs, shares, statistics = pass_streams(
        frame.model,
        params,
        state.statistics,
        views(frame, key, source, target),
        stage=own.stage,
        shared=frame.config.adapt.statistics == "shared",
    )
    classes = {"source": space.of("source", source.label), "target": space.of("target", target.label)}
    weight = {"source": source.weight, "target": target.weight, "mixed": source.weight * target.weight}
    pooled = {name: each.features.fused_pooled for name, each in outputs.items()}
    known = {"smoothing": frame.config.loss.smoothing, "exists": exists}
    terms = {
        f"identity_{name}": weighted_mean(
            smoothed_cross_entropy(outputs[name].logits[-1], labels, **known), weight[name]
        )
        for name, labels in classes.items()
    }
    mixed = mixed_cross_entropy(
        outputs["mixed"].logits[-1], classes["source"], classes["target"], shares[:, 0], **known
    )
    terms["identity_mixed"] = weighted_mean(mixed, weight["mixed"])
    anchors, labels, counts = (
        jnp.concatenate([each["source"], each["target"]]) for each in (pooled, classes, weight)
    )
    there = {"mask": counts > 0, "weight": counts}
    queue = enqueue(state.slots.queue, anchors, labels, mask=counts > 0)
    terms["triplet"] = batch_hard_triplet(anchors, labels, **there, **triplets)
    terms["memory"] = queue_triplet(anchors, labels, queue, **there, **triplets)
    terms["bridge"] = feature_bridge(pooled["source"], pooled["target"], pooled["mixed"], shares)
    terms["diversity"] = share_diversity(shares)
    factors = weights(frame.config)
    total = sum((factors.get(name, 1.0) * term for name, term in terms.items()), start=jnp.zeros(()))
    return total, Change(statistics, state.slots._replace(queue=queue), terms)


def after_update(frame: Frame, state: TrainState) -> TrainState:
    """Leave the state as it is, because `loss` has already filled the queue."""
    del frame
    return state


def weights(config: Config) -> dict[str, float]:
    """Give the factors of the terms; the plain cross-entropy is the mean of both domains, times 1 − μ1."""
    own = config.idm
    plain = (1.0 - own.mixed_identity) / 2.0
    return {
        "identity_source": plain,
        "identity_target": plain,
        "identity_mixed": own.mixed_identity,
        "memory": own.memory_weight,
        "bridge": own.bridge,
        "diversity": own.diversity,
    }
