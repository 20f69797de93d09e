"""LRIMV: clusters within cameras, merged across cameras by their relations, and views that inform each other.

Each epoch clusters the target's fused features within each camera. In the first epochs, triplets are compared within a
camera. After them, clusters of different cameras are merged by logical relation inference (LRI) to classes, and
triplets are compared across cameras. Besides the features themselves, a small transformer lets the triples of a class
in the batch inform each other (multiview information, MVI); its outputs have the same triplet loss, and the features
and the outputs are to agree. The heads take no part. Under the UDA protocol the source's triplets are added.

Source: Li et al., "Logical relation inference and multiview information interaction for domain adaptation person
re-identification", TNNLS 2024.
Differs from the source: the source has one modality, and here the fused feature is clustered and compared. Its
transformer starts from blocks of its ViT, and ours from random numbers. Its code adapts on the target alone. The
schedule is that of `config.adapt`.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jaxtyping import Array, Bool, Float, Int32, PRNGKeyArray

from man_jax.clustering.camera_relations import merge_across_cameras
from man_jax.clustering.kmeans import cluster_tables
from man_jax.clustering.sizes import keep_largest
from man_jax.clustering.within_cameras import cluster_within_cameras, clusters_of_nearest
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
    kmeans_settings,
    pass_domains,
    views,
)
from man_jax.keys import Key
from man_jax.losses.identity import hardest_triplets
from man_jax.losses.view_agreement import feature_divergence
from man_jax.networks.three_branch import concatenate_modalities
from man_jax.networks.view_interaction import ViewInteraction
from man_jax.randomness import epoch_key

NEEDS = ("cameras",)

KEYS = {
    "triplet_weight": Key(1.8, "a, weight of the triplets across cameras; source's code", least=0),
    "view_weight": Key(
        1.4, "b, weight of the views' triplets and of their agreement; source's code", least=0
    ),
    "threshold": Key(
        0.115, "scaled squared distance at which samples are near; source's code", least=0, largest=1
    ),
    "camera_epochs": Key(2, "first epochs within cameras; source's code: 10 of 200", least=0),
    "blocks": Key(4, "blocks of the transformer of views; source's code", least=1),
    "clusters": Key(
        "kmeans", "within each camera, at most adapt.num_clusters | dbscan (source)", ("kmeans", "dbscan")
    ),
    "min_samples": Key(4, "kmeans: mean size of a cluster, at least; dbscan: as in the source", least=1),
    "share": Key(
        1e-4, "dbscan: nearest pairs that give eps, ten epochs on twice, and so on", least=0, largest=1
    ),
    "k1": Key(21, "dbscan: neighbours that are compared, itself among them; source's code: 20 + 1", least=1),
    "k2": Key(6, "neighbours whose encodings are averaged; at most k1; source's code", least=1),
    "capacity": Key(0, "classes there is room for; 0: one in min_samples triples", least=0),
}

EPOCHS_OF_A_SHARE, MOST_SHARES = 10, 16
"""After so many epochs eps is from one share more of the pairs, up to so many shares."""

NETWORK = Network(params=("params", "network"))


class Slots(NamedTuple):
    """The arrays that the method adds to the state."""

    across: Bool[Array, ""]
    """Whether the epoch's classes are of several cameras, so that triplets are compared across cameras."""


def networks(config: Config) -> tuple[Network, ...]:
    """Give the place of the one network, beside which the optimiser updates the transformer of views."""
    del config
    return (NETWORK,)


def capacity(config: Config, num_triples: int) -> int:
    """Give the largest number of classes that an epoch may have."""
    own = config.lrimv
    return own.capacity or max(1, num_triples // own.min_samples)


def start(frame: Frame, state: TrainState) -> TrainState:
    """Add the transformer of views to the parameters."""
    model, key = frame.model, epoch_key(frame.config.seed, "views", 0)
    blank = jnp.zeros((model.num_modalities, 1, model.dim)), jnp.ones((1, 1), bool)
    interaction = jax.jit(ViewInteraction(frame.config.lrimv.blocks).init)(key, *blank)["params"]
    return state.replace(
        params={"network": state.params, "views": interaction}, slots=Slots(jnp.asarray(False))
    )


def label(
    frame: Frame,
    state: TrainState,
    features: tuple[FeatureTable, ...],
    cameras: Int32[np.ndarray, " N"],
    epoch: int,
) -> Labels:
    """Cluster within cameras and, after the first epochs, merge the clusters across cameras."""
    del state
    (table,) = features
    own = frame.config.lrimv
    labels, groups = (
        cluster_within_cameras(table.fused, cameras, partial(_cluster, frame.config, epoch)),
        cameras,
    )
    if epoch >= own.camera_epochs:
        merged = merge_across_cameras(table.fused, labels, cameras, threshold=own.threshold)
        found, least = len(np.unique(merged[merged >= 0])), frame.config.batch.identities
        if found >= least:
            labels, groups = merged, None
        else:
            logging.warning(
                "epoch %d: %d classes across cameras, and a batch has %d; the epoch is within cameras",
                *(epoch + 1, found, least),
            )
    labels = keep_largest(labels, most=frame.space.capacity)
    return Labels(
        labels[:, None],
        (labels >= 0).astype(np.float32),
        int(labels.max(initial=-1)) + 1,
        clusterings={"F": labels},
        estimated=True,
        groups=groups,
    )


def _cluster(
    config: Config, epoch: int, rows: Float[np.ndarray, "n F"], place: int
) -> Int32[np.ndarray, " n"]:
    """Cluster the features of one camera, the one at this place among the cameras."""
    own = config.lrimv
    if own.clusters == "kmeans":
        settings = kmeans_settings(config, epoch)
        settings["key"] = jax.random.fold_in(settings["key"], place)
        settings["num_clusters"] = max(1, min(config.adapt.num_clusters, len(rows) // own.min_samples))
        (labels,) = cluster_tables([rows], **settings)
        return labels
    shares = min(epoch // EPOCHS_OF_A_SHARE + 1, MOST_SHARES)
    return clusters_of_nearest(
        rows,
        k1=own.k1,
        k2=own.k2,
        share=shares * own.share,
        min_samples=own.min_samples if shares == 1 else min(own.min_samples, 2),
    )


def begin_epoch(
    frame: Frame,
    state: TrainState,
    features: EpochFeatures,
    labels: ByDomain[Labels],
) -> TrainState:
    """Note whether a class of the epoch has triples of several cameras."""
    del features
    classes = labels.target.labels[:, 0]
    inside = classes >= 0
    pairs = np.unique(np.stack([classes, frame.cameras.target], axis=1)[inside], axis=0)
    across = len(pairs) > len(np.unique(classes[inside]))
    return state.replace(slots=Slots(jnp.asarray(across)))


def loss(
    frame: Frame,
    params: dict[str, Any],
    state: TrainState,
    source: Batch | None,
    target: Batch,
    key: PRNGKeyArray,
) -> tuple[Float[Array, ""], Change]:
    """Sum the triplets of the features and of the views, and the divergence of the two."""
    images = views(frame, key, source, target)
    outputs, statistics = pass_domains(frame, params["network"], state.statistics, images)
    rows = {
        domain: each.features.normed
        for domain, each in zip(ByDomain._fields, outputs, strict=True)
        if each is not None
    }
    terms = target_terms(frame, params["views"], rows["target"], target, state.slots.across)
    if source is not None:
        fused = concatenate_modalities(rows["source"])
        terms["triplet_source"] = _triplet(fused, source, jnp.ones((1, 1), bool))
    factors = weights(frame.config)
    total = sum((factors.get(name, 1.0) * term for name, term in terms.items()), start=jnp.zeros(()))
    return total, Change(statistics, state.slots, terms)


def target_terms(
    frame: Frame,
    interaction: Any,
    modal: Float[Array, "M B D"],
    batch: Batch,
    across: Bool[Array, ""],
) -> dict[str, Float[Array, ""]]:
    """Compute the terms of a batch of the target from its features after the neck."""
    takes_part = batch.reliable & (batch.label >= 0)
    same = (batch.label[:, None] == batch.label[None, :]) & takes_part[:, None] & takes_part[None, :]
    among = same | jnp.eye(len(batch.label), dtype=bool)
    seen = ViewInteraction(frame.config.lrimv.blocks).apply({"params": interaction}, modal, among)
    fused, of_views = concatenate_modalities(modal), concatenate_modalities(jnp.asarray(seen))
    comparable = across | (batch.camera[:, None] == batch.camera[None, :])
    triplet = _triplet(fused, batch, comparable)
    return {
        "triplet_camera": jnp.where(across, 0.0, triplet),
        "triplet": jnp.where(across, triplet, 0.0),
        "triplet_views": _triplet(of_views, batch, comparable),
        "agreement": feature_divergence(fused, of_views, weight=jnp.where(takes_part, batch.weight, 0.0)),
    }


def _triplet(rows: Float[Array, "B F"], batch: Batch, comparable: Bool[Array, "#B #B"]) -> Float[Array, ""]:
    """Compute the soft triplet of the hardest other rows that may be compared with an anchor."""
    mask = batch.reliable & (batch.label >= 0)
    others = mask[None, :] & ~jnp.eye(len(batch.label), dtype=bool)
    known: dict[str, Any] = {"mask": mask, "weight": batch.weight, "candidates": others & comparable}
    return hardest_triplets(rows, batch.label, rows, batch.label, **known, form="soft", margin=0.0)


def after_update(frame: Frame, state: TrainState) -> TrainState:
    """Leave the state as it is."""
    del frame
    return state


def weights(config: Config) -> dict[str, float]:
    """Give the factors of the terms in the total; triplets within a camera and of the source have the factor 1."""
    own = config.lrimv
    return {
        "triplet": own.triplet_weight,
        "triplet_views": own.view_weight,
        "agreement": own.view_weight,
    }
