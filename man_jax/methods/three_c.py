"""3C: clusters that are trusted for their cameras, and a memory that moves by the most informative sample.

Each epoch clusters the target's fused features, by K-means or by harmonic discrepancy clustering (HDC), which leaves
peripheral samples out. A memory holds the centres. A step contrasts each feature with all centres, and a cluster
counts the more, the more cameras the batch shows it in (CIE). Then the centre of each cluster of the batch moves
towards the sample that is farthest from it and nevertheless typical of its camera (CHD). Under the UDA protocol the
source's identities are classes of the same memory.

Source: Zheng et al., "3C: confidence-guided clustering and contrastive learning for unsupervised person
re-identification", arXiv 2408.09464, 2024.
Differs from the source: the source has one modality, and here the fused feature is clustered and contrasted. The source
has no labelled domain, and its first 10 epochs cluster by DBSCAN. The schedule is that of `config.adapt`.
"""

import zlib

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, PRNGKeyArray

from man_jax.clustering.harmonic import harmonic_clusters
from man_jax.clustering.jaccard import jaccard_distances
from man_jax.clustering.kmeans import cluster_tables
from man_jax.clustering.linkage import drop_small
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
from man_jax.losses.camera_entropy import camera_weighted_contrast
from man_jax.memories.camera_centres import update_by_discrepancy
from man_jax.method_parts.class_memory import empty_memory, filled_memory
from man_jax.networks.three_branch import Variables

NEEDS = ("cameras",)

KEYS = {
    "temperature": Key(0.05, "τ of InfoNCE; source's code", least=1e-6),
    "momentum": Key(0.1, "m of the memory: c ← m c + (1 − m) f; source's code", least=0, largest=1),
    "clusters": Key(
        "kmeans",
        "k is adapt.num_clusters, of either | hdc on the Jaccard distance (source)",
        ("kmeans", "hdc"),
    ),
    "min_samples": Key(4, "a cluster of fewer samples is left out; source's code", least=1),
    "k1": Key(30, "neighbours that are compared; about the images of an identity; source's code", least=1),
    "k2": Key(6, "neighbours whose encodings are averaged; at most k1; source's code", least=1),
}


def networks(config: Config) -> tuple[Network, ...]:
    """Give the place of the one network, which the optimiser updates."""
    del config
    return (TRAINED,)


def capacity(config: Config, num_triples: int) -> int:
    """Give the number of clusters, k of K-means and of HDC."""
    del num_triples
    return config.adapt.num_clusters


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
    """Cluster the fused features; peripheral samples and those of small clusters have label −1 and weight 0."""
    del state, cameras
    (table,) = features
    config, own = frame.config, frame.config.three_c
    if own.clusters == "kmeans":
        (labels,) = cluster_tables([table.fused], **kmeans_settings(config, epoch))
    else:
        k1 = min(own.k1, len(table.fused))
        labels = harmonic_clusters(
            table.fused,
            jaccard_distances(table.fused, k1=k1, k2=min(own.k2, k1)),
            num_clusters=config.adapt.num_clusters,
            rng=np.random.default_rng([config.seed, epoch, zlib.crc32(b"hdc")]),
        )
    labels = drop_small(labels, least=own.min_samples)
    return Labels(
        labels[:, None],
        (labels >= 0).astype(np.float32),
        int(labels.max(initial=-1)) + 1,
        clusterings={"F": labels},
    )


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
    own, slots, terms = frame.config.three_c, state.slots, {}
    outputs, statistics = pass_domains(frame, params, state.statistics, views(frame, key, source, target))
    centres = slots.centres
    for domain, batch, output in zip(("source", "target"), (source, target), outputs, strict=True):
        if batch is None or output is None:
            continue
        features, labels = output.features.fused_unit, frame.space.of(domain, batch.label)
        known = {"exists": slots.exists, "weight": batch.weight}
        terms[f"contrast_{domain}"] = camera_weighted_contrast(
            features, slots.centres, labels, batch.camera, temperature=own.temperature, **known
        )
        centres = update_by_discrepancy(
            centres, features, labels, batch.camera, momentum=own.momentum, **known
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
