"""Cluster contrast: clusters of the target, a memory of their centres, and a contrastive loss with this memory.

Each epoch clusters the target's fused features by DBSCAN on the k-reciprocal Jaccard distance, which needs no number of
clusters; samples in no cluster are left out. The memory starts from the clusters' centres, and each step moves the
centres of the batch's clusters. Under the UDA protocol the source's identities are classes of the same memory.

Source: Dai et al., "Cluster contrast for unsupervised person re-identification", ACCV 2022.
Differs from the source: the source has one modality, and here the fused feature is clustered and contrasted. The source
has no labelled domain. The schedule is that of `config.adapt`.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, PRNGKeyArray

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
from man_jax.memories.centres import update_centres
from man_jax.method_parts.class_memory import empty_memory, filled_memory
from man_jax.method_parts.cluster_rows import cluster_rows, most_clusters, plain_labels
from man_jax.networks.three_branch import Variables

KEYS = {
    "temperature": Key(0.05, "τ of InfoNCE; source §4.2", least=1e-6),
    "momentum": Key(
        0.1, "m of the memory: c ← m c + (1 − m) f; source: 0.1 (its code also 0.2)", least=0, largest=1
    ),
    "moving_form": Key(
        "sequential", "one by one | hard: the one least like its centre", ("sequential", "hard")
    ),
    "clusters": Key(
        "dbscan", "on the Jaccard distance | kmeans: k is adapt.num_clusters", ("dbscan", "kmeans")
    ),
    "eps": Key(
        0.5, "Jaccard distance within which samples are near; source: 0.4 to 0.7", least=0, largest=0.99
    ),
    "min_samples": Key(
        4, "near samples, itself among them, that make a sample the core of a cluster", least=1
    ),
    "k1": Key(30, "neighbours that are compared; about the images of an identity; source §4.2", least=1),
    "k2": Key(6, "neighbours whose encodings are averaged; at most k1; source §4.2", least=1),
    "capacity": Key(0, "clusters there is room for; 0: one in min_samples triples", least=0),
}


def networks(config: Config) -> tuple[Network, ...]:
    """Give the place of the one network, which the optimiser updates."""
    del config
    return (TRAINED,)


def capacity(config: Config, num_triples: int) -> int:
    """Give the largest number of clusters that an epoch may have."""
    return most_clusters(config, config.cluster_contrast, num_triples)


def start(frame: Frame, state: TrainState) -> TrainState:
    """Add a memory in which no class exists."""
    return state.replace(slots=empty_memory(frame))


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
    own = frame.config.cluster_contrast
    return plain_labels(own, cluster_rows(frame, own, table.fused, epoch))


def begin_epoch(
    frame: Frame,
    state: TrainState,
    features: EpochFeatures,
    labels: ByDomain[Labels],
) -> TrainState:
    """Fill the memory with the centres of the source's identities and of the target's clusters."""
    return state.replace(slots=filled_memory(frame, features, labels))


def loss(
    frame: Frame,
    params: Variables,
    state: TrainState,
    source: Batch | None,
    target: Batch,
    key: PRNGKeyArray,
) -> tuple[Float[Array, ""], Change]:
    """Compare the fused features of each domain with the memory, then move the centres of the batch's classes."""
    own, slots, terms = frame.config.cluster_contrast, state.slots, {}
    outputs, statistics = pass_domains(frame, params, state.statistics, views(frame, key, source, target))
    centres = slots.centres
    for domain, batch, output in zip(("source", "target"), (source, target), outputs, strict=True):
        if batch is None or output is None:
            continue
        features, labels = output.features.fused_unit, frame.space.of(domain, batch.label)
        known = {"exists": slots.exists, "weight": batch.weight}
        terms[f"contrast_{domain}"] = info_nce(
            features, slots.centres, labels, temperature=own.temperature, **known
        )
        centres = update_centres(
            centres,
            jax.lax.stop_gradient(features),
            labels,
            momentum=own.momentum,
            form=own.moving_form,
            **known,
        )
    total = sum(terms.values(), start=jnp.zeros(()))
    return total, Change(statistics, slots._replace(centres=centres), terms)


def after_update(frame: Frame, state: TrainState) -> TrainState:
    """Leave the state as it is, because `loss` has already moved the centres."""
    del frame
    return state


def weights(config: Config) -> dict[str, float]:
    """Give the factors of the terms in the total; an empty table, because every factor is 1."""
    del config
    return {}
