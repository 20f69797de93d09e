"""O2CAP: a proxy for each cluster in each camera, associated offline by the clusters and online by similarity.

Each epoch clusters the target's fused features and splits every cluster by cameras. A memory holds the centre of each
part, its proxy. A step pulls each feature to all proxies of its cluster (offline), and to the nearest proxies of
several cameras, whatever their cluster (online), both against the hardest other proxies. Then each feature moves its
own proxy. Under the UDA protocol the source's identities have a memory of centres of their own.

Source: Wang et al., "Offline-online associated camera-aware proxies for unsupervised person re-identification",
TIP 2022.
Differs from the source: the source has one modality, and here the fused feature is clustered and contrasted. The source
has no labelled domain. With fewer cameras than `positives`, the online association has fewer positives. The schedule
is that of `config.adapt`.
"""

from typing import NamedTuple

import jax
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
from man_jax.losses.proxies import contrast_associated, nearest_in_cameras, sum_of_camera_means
from man_jax.memories.camera_proxies import (
    CameraProxies,
    empty_proxies,
    find_proxies,
    make_proxies,
    number_proxies,
    proxy_capacity,
)
from man_jax.memories.centres import cluster_centres, update_centres
from man_jax.method_parts.cluster_rows import cluster_rows, most_clusters, plain_labels
from man_jax.networks.three_branch import Variables

NEEDS = ("cameras",)

KEYS = {
    "temperature": Key(0.07, "τ of both associations; source §IV-B", least=1e-6),
    "momentum": Key(0.2, "m of the memory: c ← m c + (1 − m) f; source §IV-B", least=0, largest=1),
    "negatives": Key(50, "hardest other proxies that a feature is pushed from; source §IV-B", least=1),
    "positives": Key(3, "cameras whose nearest proxies a feature is pulled to online; source §IV-B", least=1),
    "balance": Key(
        0.15,
        "share of the feature, beside its proxy, in the online similarity; source's code",
        least=0,
        largest=1,
    ),
    "draw": Key(
        "proxies", "batches are P proxies (source's code) | clusters × K triples", ("proxies", "clusters")
    ),
    "clusters": Key(
        "kmeans", "k is adapt.num_clusters | dbscan on the Jaccard distance (source)", ("kmeans", "dbscan")
    ),
    "eps": Key(0.5, "Jaccard distance within which samples are near; source's code", least=0, largest=0.99),
    "min_samples": Key(
        4, "near samples, itself among them, that make a sample the core of a cluster", least=1
    ),
    "k1": Key(20, "neighbours that are compared; about the images of an identity; source's code", least=1),
    "k2": Key(6, "neighbours whose encodings are averaged; at most k1; source's code", least=1),
    "capacity": Key(0, "clusters of dbscan there is room for; 0: one in min_samples triples", least=0),
}


class Slots(NamedTuple):
    """The arrays that the method adds to the state."""

    proxies: CameraProxies
    """Of the target."""
    identities: Float[Array, "S F"]
    """Centres of unit length of the source's identities."""
    learnt: Bool[Array, " S"]
    """Marks the identities that have a centre: all under UDA, none under US."""


def networks(config: Config) -> tuple[Network, ...]:
    """Give the place of the one network, which the optimiser updates."""
    del config
    return (TRAINED,)


def capacity(config: Config, num_triples: int) -> int:
    """Give the largest number of clusters that an epoch may have."""
    return most_clusters(config, config.o2cap, num_triples)


def start(frame: Frame, state: TrainState) -> TrainState:
    """Add memories in which there is no proxy and no identity."""
    dim = frame.model.num_modalities * frame.model.dim
    room = proxy_capacity(frame.space.capacity, frame.cameras.target)
    identities = jnp.zeros((frame.space.num_source, dim))
    learnt = jnp.zeros(frame.space.num_source, bool)
    return state.replace(slots=Slots(empty_proxies(capacity=room, dim=dim), identities, learnt))


def label(
    frame: Frame,
    state: TrainState,
    features: tuple[FeatureTable, ...],
    cameras: Int32[np.ndarray, " N"],
    epoch: int,
) -> Labels:
    """Cluster the fused features; the second column is of the proxies. Samples in no cluster have −1 and weight 0."""
    del state
    (table,) = features
    own = frame.config.o2cap
    clusters = cluster_rows(frame, own, table.fused, epoch)
    return plain_labels(own, clusters)._replace(
        labels=np.stack([clusters, number_proxies(clusters, cameras)], axis=1),
        drawn_by=1 if own.draw == "proxies" else 0,
    )


def begin_epoch(
    frame: Frame,
    state: TrainState,
    features: EpochFeatures,
    labels: ByDomain[Labels],
) -> TrainState:
    """Fill the memories with the centres of the clusters in each camera, and of the source's identities."""
    slots: Slots = state.slots
    proxies = make_proxies(
        features.target[0].fused,
        labels.target.labels[:, 0],
        frame.cameras.target,
        capacity=slots.proxies.cluster.shape[0],
    )
    if features.source is None:
        return state.replace(slots=slots._replace(proxies=proxies))
    rows, numbers = jnp.asarray(features.source[0].fused), jnp.asarray(labels.source.labels[:, 0])
    identities, learnt = cluster_centres(rows, numbers, num_classes=frame.space.num_source)
    return state.replace(slots=Slots(proxies, identities, learnt))


def loss(
    frame: Frame,
    params: Variables,
    state: TrainState,
    source: Batch | None,
    target: Batch,
    key: PRNGKeyArray,
) -> tuple[Float[Array, ""], Change]:
    """Compare the target's features with proxies and the source's with identities, then move the memories."""
    own, slots = frame.config.o2cap, state.slots
    outputs, statistics = pass_domains(frame, params, state.statistics, views(frame, key, source, target))
    rows = {
        domain: each.features.fused_unit
        for domain, each in zip(ByDomain._fields, outputs, strict=True)
        if each is not None
    }
    proxies = slots.proxies
    numbers = find_proxies(proxies, target.label, target.camera)
    terms = target_terms(frame, rows["target"], proxies, numbers, target)
    move = {"momentum": own.momentum, "form": "sequential"}
    known = {"exists": proxies.exists, "weight": target.weight}
    moved = update_centres(proxies.centres, rows["target"], numbers, **known, **move)
    slots = slots._replace(proxies=proxies._replace(centres=moved))
    if source is not None:
        known = {"exists": slots.learnt, "weight": source.weight}
        terms["contrast_source"] = info_nce(
            rows["source"], slots.identities, source.label, temperature=own.temperature, **known
        )
        identities = update_centres(slots.identities, rows["source"], source.label, **known, **move)
        slots = slots._replace(identities=identities)
    return sum(terms.values(), start=jnp.zeros(())), Change(statistics, slots, terms)


def target_terms(
    frame: Frame,
    rows: Float[Array, "B F"],
    proxies: CameraProxies,
    numbers: Int32[Array, " B"],
    batch: Batch,
) -> dict[str, Float[Array, ""]]:
    """Compute the offline and the online loss of a batch of the target, whose proxies have these numbers."""
    own, exists = frame.config.o2cap, proxies.exists
    centres = jax.lax.stop_gradient(jnp.where(exists[:, None], proxies.centres, 0.0))
    similarities = rows @ centres.T
    of_proxies = centres[jnp.maximum(numbers, 0)] @ centres.T
    order = jax.lax.stop_gradient(own.balance * similarities + (1 - own.balance) * of_proxies)
    online = nearest_in_cameras(
        order,
        proxies.camera,
        exists=exists,
        num_cameras=int(frame.cameras.target.max(initial=0)) + 1,
        num_positives=own.positives,
    )
    offline = exists[None, :] & (proxies.cluster[None, :] == batch.label[:, None])
    weight = jnp.where(numbers >= 0, batch.weight, 0.0)
    terms = {}
    for name, positives, ranks in (("offline", offline, similarities), ("online", online, order)):
        values = contrast_associated(
            similarities,
            positives,
            exists=exists,
            order=ranks,
            temperature=own.temperature,
            num_negatives=own.negatives,
        )
        terms[name] = sum_of_camera_means(values, batch.camera, weight)
    return terms


def after_update(frame: Frame, state: TrainState) -> TrainState:
    """Leave the state as it is, because `loss` has already moved the memories."""
    del frame
    return state


def weights(config: Config) -> dict[str, float]:
    """Give the factors of the terms in the total; an empty table, because every factor is 1."""
    del config
    return {}
