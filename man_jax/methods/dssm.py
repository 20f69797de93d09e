"""DSSM, doubly stochastic subdomain mining: each epoch learns from a random part of the target and weighs its samples.

Each epoch draws a rate and that part of the target at random, and clusters it by the features of a mean teacher. A
sample weighs less the more it is like a sample of another cluster. The student learns the part's clusters and the
source's identities, each domain among its own classes. The teacher follows the student, and is tested.

Source: Tang et al., "Doubly stochastic subdomain mining with sample reweighting for unsupervised domain adaptive person
re-identification", AI Communications 2024.
Differs from the source: the source has one modality, and here the fused feature is clustered and learnt from. Domains
have running statistics of their own there and here, but there also scales and offsets of batch normalisation.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, PRNGKeyArray

from man_jax.clustering.subdomain import draw_subdomain, similarity_weights
from man_jax.config import Config, ConfigError
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
from man_jax.losses.identity import smoothed_cross_entropy
from man_jax.losses.reweighted import reweighted_mean, reweighted_triplet
from man_jax.memories.moving_average import moving_average
from man_jax.memories.prototypes import make_bank
from man_jax.method_parts.cluster_rows import cluster_rows
from man_jax.networks.heads import forget_columns, set_columns
from man_jax.networks.three_branch import Outputs, Variables
from man_jax.randomness import epoch_key

KEYS = {
    "mean_rate": Key(
        0.5, "mean of the normal distribution of an epoch's rate; source's code", least=0, largest=1
    ),
    "deviation": Key(0.5, "its standard deviation; the paper's comparison (source's code: 0.3)", least=1e-3),
    "least_rate": Key(0.3, "rates below are drawn again; source's code", least=0.01, largest=1),
    "largest_rate": Key(0.9, "rates above are drawn again; source's code", least=0.01, largest=1),
    "weights": Key(
        "similarity",
        "of samples: by the similarity to other clusters | equal: all 1",
        ("similarity", "equal"),
    ),
    "temperature": Key(0.3, "τ of the samples' weights; source's code", least=1e-3),
    "smoothing": Key(0.0, "of the cross-entropies' labels; source's code", least=0, largest=0.99),
    "margin": Key(0.3, "of the triplets of unit features; source's code", least=0),
    "alpha": Key(0.999, "of the teacher's moving average, at most; source's code", least=0, largest=1),
    "head_norm": Key(
        "unit", "of new target columns: 1 (source), or the source's mean norm", ("unit", "matched")
    ),
    "clusters": Key(
        "kmeans", "k is adapt.num_clusters | dbscan on the Jaccard distance (source)", ("kmeans", "dbscan")
    ),
    "eps": Key(
        0.56, "Jaccard distance within which samples are near; source: 0.56, 0.72", least=0, largest=0.99
    ),
    "min_samples": Key(
        4, "near samples, itself among them, that make a sample the core of a cluster", least=1
    ),
    "k1": Key(21, "neighbours that are compared, itself among them; source's code: 20 others", least=1),
    "k2": Key(6, "neighbours whose encodings are averaged; at most k1; source's code", least=1),
    "capacity": Key(
        0,
        "clusters there is room for with dbscan; 0: one in min_samples triples of the largest part",
        least=0,
    ),
}

TEACHER = Network(
    params=("slots", "teacher", "params"),
    source=("slots", "teacher", "statistics", "source"),
    target=("slots", "teacher", "statistics", "target"),
)


class Slots(NamedTuple):
    """The arrays that DSSM adds to the state."""

    teacher: dict[str, Any]
    """The parameters of the mean teacher, and its running statistics by domain."""
    exists: Bool[Array, " C"]
    """Marks the classes that take part in the softmax of their domain."""
    updates: Int32[Array, ""]
    """Number of adaptation steps so far."""


def networks(config: Config) -> tuple[Network, ...]:
    """Give the places of the teacher, which is tested, and of the student."""
    del config
    return (TEACHER, TRAINED)


def capacity(config: Config, num_triples: int) -> int:
    """Give the largest number of clusters that an epoch may have.

    Raises:
        ConfigError: no rate is within the limits, or the smallest part has fewer samples than K-means has clusters.
    """
    own, wanted = config.dssm, config.adapt.num_clusters
    if own.least_rate >= own.largest_rate:
        raise ConfigError(
            f"config.dssm.least_rate is {own.least_rate} and largest_rate is {own.largest_rate}; no rate is between "
            f"them, so lower the one or raise the other"
        )
    if own.clusters != "kmeans":
        return own.capacity or max(1, int(own.largest_rate * num_triples) // own.min_samples)
    smallest = int(own.least_rate * num_triples)
    if config.adapt.labels != "truth" and smallest < wanted:
        raise ConfigError(
            f"config.adapt.num_clusters is {wanted}, but an epoch may draw only {smallest} of the target's "
            f"{num_triples} training triples (config.dssm.least_rate is {own.least_rate}); choose k well below that"
        )
    return wanted


def start(frame: Frame, state: TrainState) -> TrainState:
    """Copy the pre-trained network to the teacher."""
    teacher = {"params": state.params, "statistics": state.statistics}
    return state.replace(slots=Slots(teacher, frame.space.exists(frame.space.capacity), jnp.int32(0)))


def label(
    frame: Frame,
    state: TrainState,
    features: tuple[FeatureTable, ...],
    cameras: Int32[np.ndarray, " N"],
    epoch: int,
) -> Labels:
    """Cluster a random part by the teacher's fused features; samples outside it, or in no cluster, have −1."""
    del state, cameras
    own, config = frame.config.dssm, frame.config
    rows = features[0].fused
    drawn = draw_subdomain(
        epoch_key(config.seed, "subdomain", epoch),
        len(rows),
        mean=own.mean_rate,
        deviation=own.deviation,
        least=own.least_rate,
        largest=own.largest_rate,
    )
    part = cluster_rows(frame, own, rows[drawn], epoch)
    labels, weight = np.full(len(rows), -1, np.int32), np.zeros(len(rows), np.float32)
    labels[drawn] = part
    if own.weights == "similarity":
        weight[drawn] = similarity_weights(rows[drawn], part, temperature=own.temperature)
    else:
        weight[drawn] = part >= 0
    return Labels(
        labels[:, None],
        weight,
        int(part.max(initial=-1)) + 1,
        clusterings={"F": labels},
        estimated=own.clusters != "kmeans",
    )


def begin_epoch(
    frame: Frame,
    state: TrainState,
    features: EpochFeatures,
    labels: ByDomain[Labels],
) -> TrainState:
    """Give the student's heads the centres of its own features as columns; their moments become zero."""
    space, target = frame.space, labels.target
    slots = state.slots._replace(exists=space.exists(target.num_clusters))
    if np.all(target.continued):
        return state.replace(slots=slots)
    of_student = features.target[1]
    centres = make_bank(
        of_student.modal,
        of_student.fused,
        target.labels[:, 0],
        num_classes=space.capacity,
        mask=target.labels[:, 0] >= 0,
        weights="average",
        temperature=1.0,
    )
    heads = set_columns(
        state.params["heads"],
        centres.modal,
        centres.fused,
        first=space.num_source,
        valid=centres.valid,
        norm=frame.config.dssm.head_norm,
    )
    return state.replace(
        params={**state.params, "heads": heads},
        opt_state=forget_columns(state.opt_state, first=space.num_source),
        slots=slots,
    )


def loss(
    frame: Frame,
    params: Variables,
    state: TrainState,
    source: Batch | None,
    target: Batch,
    key: PRNGKeyArray,
) -> tuple[Float[Array, ""], Change]:
    """Sum the weighted cross-entropy and triplets of each domain, each among the classes of its own."""
    outputs, statistics = pass_domains(frame, params, state.statistics, views(frame, key, source, target))
    of_source = jnp.arange(frame.space.num_classes) < frame.space.num_source
    terms = {}
    for domain, batch, output in zip(("source", "target"), (source, target), outputs, strict=True):
        if batch is None or output is None:
            continue
        among = state.slots.exists & (of_source if domain == "source" else ~of_source)
        labels = frame.space.of(domain, batch.label)
        terms |= _terms(frame.config.dssm, output, labels, batch.weight, domain=domain, among=among)
    return sum(terms.values(), start=jnp.zeros(())), Change(statistics, state.slots, terms)


def _terms(
    own: Config,
    outputs: Outputs,
    labels: Int32[Array, " B"],
    weight: Float[Array, " B"],
    *,
    domain: str,
    among: Bool[Array, " C"],
) -> dict[str, Float[Array, ""]]:
    values = smoothed_cross_entropy(outputs.logits[-1], labels, smoothing=own.smoothing, exists=among)
    pooled = outputs.features.fused_pooled
    return {
        f"identity_{domain}": reweighted_mean(values, weight),
        f"triplet_{domain}": reweighted_triplet(pooled, labels, weight=weight, margin=own.margin),
    }


def after_update(frame: Frame, state: TrainState) -> TrainState:
    """Move the teacher, its running statistics too, towards the student."""
    slots = state.slots
    student = {"params": state.params, "statistics": state.statistics}
    teacher = moving_average(slots.teacher, student, step=slots.updates, alpha=frame.config.dssm.alpha)
    return state.replace(slots=slots._replace(teacher=teacher, updates=slots.updates + 1))


def weights(config: Config) -> dict[str, float]:
    """Give the factors of the terms in the total; an empty table, because every factor is 1."""
    del config
    return {}
