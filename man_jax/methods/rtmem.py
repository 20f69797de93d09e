"""RTMem, real-time memory updating: the memory holds for each cluster the last sample that was seen of it.

Each epoch clusters the target's fused features and fills the memory with a random sample of each cluster. In each step
the fused features are compared with the clusters' samples (InfoNCE), and with every sample of the target as it was when
it was seen last. Then each sample of the batch takes the place of its cluster and of itself, without momentum. Under
the UDA protocol the source's identities are classes of the clusters' memory.

Source: Yin et al., "A real-time memory updating strategy for unsupervised person re-identification", TIP 2023.
Differs from the source: the source has one modality, and here the fused feature is clustered and contrasted. The source
has no labelled domain. The schedule is that of `config.adapt`.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, PRNGKeyArray

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
    pass_domains,
    views,
)
from man_jax.keys import Key
from man_jax.losses.contrastive import info_nce
from man_jax.losses.instance_contrast import instance_nce
from man_jax.memories.centres import update_centres
from man_jax.memories.random_instances import random_instances
from man_jax.method_parts.cluster_rows import cluster_rows, most_clusters, plain_labels
from man_jax.networks.three_branch import Variables
from man_jax.randomness import epoch_key, other_key

KEYS = {
    "temperature": Key(0.05, "τ of both terms; source's code", least=1e-6),
    "momentum": Key(
        0.0,
        "m of both memories: v ← m v + (1 − m) f; 0: f takes the place, as in the source",
        least=0,
        largest=1,
    ),
    "instance_weight": Key(1.2, "factor of the term of single samples; source's code", least=0),
    "clusters": Key(
        "kmeans", "k is adapt.num_clusters | dbscan on the Jaccard distance (source)", ("kmeans", "dbscan")
    ),
    "eps": Key(0.5, "Jaccard distance within which samples are near; source's code", least=0, largest=0.99),
    "min_samples": Key(
        4, "near samples, itself among them, that make a sample the core of a cluster", least=1
    ),
    "k1": Key(30, "neighbours that are compared; source's code", least=1),
    "k2": Key(6, "neighbours whose encodings are averaged; at most k1; source's code", least=1),
    "capacity": Key(0, "clusters there is room for with dbscan; 0: one in min_samples triples", least=0),
}


class Slots(NamedTuple):
    """The arrays that the method adds to the state."""

    classes: Float[Array, "C F"]
    """A sample's unit features for each class: source identities, then clusters."""
    exists: Bool[Array, " C"]
    instances: Float[Array, "N F"]
    """Unit features of the target's triples, each as it was when it was in a batch last."""
    clusters: Int32[Array, " N"]
    """The cluster of each triple; −1: in none."""
    filled: Bool[Array, ""]
    """Whether `instances` has features, which it gets in the first epoch."""


def networks(config: Config) -> tuple[Network, ...]:
    """Give the place of the one network, which the optimiser updates."""
    del config
    return (TRAINED,)


def capacity(config: Config, num_triples: int) -> int:
    """Give the largest number of clusters that an epoch may have."""
    return most_clusters(config, config.rtmem, num_triples)


def start(frame: Frame, state: TrainState) -> TrainState:
    """Add memories in which nothing is."""
    dim, number = frame.model.num_modalities * frame.model.dim, frame.num_triples.target
    return state.replace(
        slots=Slots(
            classes=jnp.zeros((frame.space.num_classes, dim)),
            exists=jnp.zeros(frame.space.num_classes, bool),
            instances=jnp.zeros((number, dim)),
            clusters=jnp.full(number, -1, jnp.int32),
            filled=jnp.zeros((), bool),
        )
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
    own = frame.config.rtmem
    return plain_labels(own, cluster_rows(frame, own, features[0].fused, epoch))


def begin_epoch(
    frame: Frame,
    state: TrainState,
    features: EpochFeatures,
    labels: ByDomain[Labels],
) -> TrainState:
    """Fill the classes' memory with random samples; the samples' memory is filled in the first epoch alone."""
    slots, key = state.slots, epoch_key(frame.config.seed, "random instances", int(state.step))
    sizes = ByDomain(frame.space.num_source, frame.space.capacity)
    classes, exists = [], []
    for domain, tables, known, number in zip(("source", "target"), features, labels, sizes, strict=True):
        if tables is None:  # the US protocol: the source is no class
            values, there = np.zeros((number, slots.classes.shape[1])), np.zeros(number, bool)
        else:
            own = other_key(key, domain)
            values, there = random_instances(own, tables[0].fused, known.labels[:, 0], num_classes=number)
        classes.append(jnp.asarray(values, slots.classes.dtype))
        exists.append(jnp.asarray(there))
    instances = slots.instances if bool(slots.filled) else jnp.asarray(features.target[0].fused)
    return state.replace(
        slots=Slots(
            classes=jnp.concatenate(classes),
            exists=jnp.concatenate(exists),
            instances=jnp.asarray(instances, slots.instances.dtype),
            clusters=jnp.asarray(labels.target.labels[:, 0]),
            filled=jnp.ones((), bool),
        )
    )


def loss(
    frame: Frame,
    params: Variables,
    state: TrainState,
    source: Batch | None,
    target: Batch,
    key: PRNGKeyArray,
) -> tuple[Float[Array, ""], Change]:
    """Compare the fused features with both memories, then put the batch's samples into their places."""
    own, slots, terms = frame.config.rtmem, state.slots, {}
    outputs, statistics = pass_domains(frame, params, state.statistics, views(frame, key, source, target))
    classes, instances = slots.classes, slots.instances
    moves = {"momentum": own.momentum, "form": "sequential"}
    for domain, batch, output in zip(("source", "target"), (source, target), outputs, strict=True):
        if batch is None or output is None:
            continue
        features, labels = output.features.fused_unit, frame.space.of(domain, batch.label)
        known = {"exists": slots.exists, "weight": batch.weight}
        terms[f"contrast_{domain}"] = info_nce(
            features, slots.classes, labels, temperature=own.temperature, **known
        )
        classes = update_centres(classes, features, labels, **known, **moves)
        if domain == "target":
            alike = {"weight": batch.weight, "temperature": own.temperature}
            terms["instance_target"] = instance_nce(
                features, slots.instances, slots.clusters, batch.label, **alike
            )
            instances = update_centres(instances, features, batch.index, weight=batch.weight, **moves)
    factors = weights(frame.config)
    total = sum((factors.get(name, 1.0) * term for name, term in terms.items()), start=jnp.zeros(()))
    return total, Change(statistics, slots._replace(classes=classes, instances=instances), terms)


def after_update(frame: Frame, state: TrainState) -> TrainState:
    """Leave the state as it is, because `loss` has already moved the memories."""
    del frame
    return state


def weights(config: Config) -> dict[str, float]:
    """Give the factor of the term of single samples; the other factors are 1."""
    return {"instance_target": config.rtmem.instance_weight}
