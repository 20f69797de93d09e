"""DHCCN: features of parts beside those of the whole, and noisy features calibrated by their cluster's distribution.

A learnt mixture joins the parts, and another joins whole and parts. Each epoch a mixture of two Gaussians separates the
clean samples from the noisy ones, by the loss of the last epoch's labels. Noisy features move towards a sample of their
cluster's clean ones, and then the target is clustered. Three memories, heads and triplets teach the features. Under the
UDA protocol the source's identities are classes too.

Source: Li et al., "Distribution-guided hierarchical calibration contrastive network for unsupervised person
re-identification", TCSVT 2024.
Differs from the source: the source has one modality, and here the fused features are clustered and learnt from. The
parts are stripes of the same maps as the whole; in the source they have the last stages once more for themselves.
docs/methods/dhccn.md lists the rest.
"""

import zlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, PRNGKeyArray

from man_jax.array_math import unit
from man_jax.clustering.calibration import calibrate
from man_jax.clustering.mixture import lower_of_two_gaussians
from man_jax.config import Config
from man_jax.frame import (
    Batch,
    ByDomain,
    Change,
    DomainName,
    EpochFeatures,
    FeatureTable,
    Frame,
    Labels,
    Network,
    TrainState,
    pass_domains_with_parts,
    views,
)
from man_jax.keys import Key
from man_jax.losses.contrastive import info_nce
from man_jax.losses.divergence import jensen_shannon
from man_jax.losses.identity import smoothed_cross_entropy
from man_jax.losses.soft import softmax_triplet
from man_jax.losses.weighted import weighted_mean
from man_jax.memories.centres import cluster_centres, update_centres
from man_jax.method_parts.cluster_rows import cluster_rows, most_clusters, plain_labels
from man_jax.networks.heads import forget_columns
from man_jax.networks.part_necks import necks_like, part_rows
from man_jax.randomness import epoch_key

NEEDS = ("stages",)

KEYS = {
    "parts": Key(2, "stripes; 2 of 256 rows are as high as the source's 3 of 384", least=1, largest=16),
    "noise": Key(0.1, "probability of being clean below which a sample is noisy; source", least=0, largest=1),
    "covariance": Key(
        "class",
        "C, of a cluster's clean features | code: C C^T + 1, as in the source's code",
        ("class", "code"),
    ),
    "balance": Key(
        0.5, "λ: weight of memories and divergence; the rest has 1 − λ; source", least=0, largest=1
    ),
    "temperature": Key(0.05, "τ of InfoNCE; source", least=1e-6),
    "momentum": Key(0.2, "m of the memories: c ← m c + (1 − m) f; source's code", least=0, largest=1),
    "clusters": Key(
        "kmeans",
        "k is adapt.num_clusters | dbscan: on the Jaccard distance, as the source",
        ("kmeans", "dbscan"),
    ),
    "eps": Key(0.6, "Jaccard distance within which samples are near; source's code", least=0, largest=0.99),
    "min_samples": Key(
        4, "near samples, itself among them, that make a sample the core of a cluster", least=1
    ),
    "k1": Key(30, "neighbours that are compared; source's code", least=1),
    "k2": Key(6, "neighbours whose encodings are averaged; at most k1; source's code", least=1),
    "capacity": Key(0, "clusters there is room for; 0: one in min_samples triples", least=0),
}

NUM_MEMORIES = 3
"""Of the joint feature, of the whole and of the joined parts."""
OUTLIER_CLEAN = 0.1
"""The probability of being clean of a sample that had no label; source's code."""


class Slots(NamedTuple):
    """The arrays that DHCCN adds to the state."""

    centres: Float[Array, "3 C F"]
    """Centres of unit length of all classes, for the three features that have a memory."""
    exists: Bool[Array, " C"]
    labels: Int32[Array, " N"]
    """The target's labels of the epoch; −1 before the first."""
    epoch: Int32[Array, ""]
    """How many epochs have begun."""


def networks(config: Config) -> tuple[Network, ...]:
    """Give the place of the one network, with the features of its parts."""
    statistics = {name: ("statistics", name, "network") for name in ("source", "target")}
    return (Network(params=("params", "network"), **statistics, num_parts=config.dhccn.parts),)


def capacity(config: Config, num_triples: int) -> int:
    """Give the largest number of clusters that an epoch may have."""
    return most_clusters(config, config.dhccn, num_triples)


def start(frame: Frame, state: TrainState) -> TrainState:
    """Add necks, mixtures and heads to the pre-trained network, and memories in which no class exists."""
    num_parts, classes = frame.config.dhccn.parts, frame.space.num_classes
    dim = frame.model.num_modalities * frame.model.dim
    necks = [
        necks_like({"params": state.params, "batch_stats": running}, num_parts=num_parts)
        for running in state.statistics
    ]
    each = zip(state.statistics, necks, strict=True)
    return state.replace(
        params={
            "network": state.params,
            "necks": necks[0]["params"],
            "mixtures": {"parts": jnp.ones(num_parts), "whole": jnp.ones(2)},
            "heads": {"own": {"kernel": jnp.zeros((NUM_MEMORIES + num_parts, dim, classes))}},
        },
        statistics=ByDomain(*({"network": running, "necks": neck["batch_stats"]} for running, neck in each)),
        slots=Slots(
            centres=jnp.zeros((NUM_MEMORIES, classes, dim)),
            exists=jnp.zeros(classes, bool),
            labels=jnp.full(frame.num_triples.target, -1, jnp.int32),
            epoch=jnp.int32(0),
        ),
    )


def _all_features(params: dict[str, Any], whole: Array, parts: list[Array]) -> list[Array]:
    """Give the joint feature, the whole, the joined parts and each part, [B, F] each."""
    of_parts, of_both = (jax.nn.softmax(params["mixtures"][name]) for name in ("parts", "whole"))
    joined = sum((share * part for share, part in zip(of_parts, parts, strict=True)), start=jnp.zeros(()))
    return [of_both[0] * whole + of_both[1] * joined, whole, joined, *parts]


def _rows(table: FeatureTable, state: TrainState, domain: DomainName) -> Float[np.ndarray, "3 N F"]:
    """Give the three features of a table that have a memory."""
    assert table.parts is not None  # networks() asks for them
    running = getattr(state.statistics, domain)["necks"]
    necks = {"params": state.params["necks"], "batch_stats": running}
    parts = [jnp.asarray(each) for each in part_rows(necks, table.parts)]
    return np.stack(_all_features(state.params, jnp.asarray(table.fused), parts)[:NUM_MEMORIES])


def _calibrated(
    frame: Frame, state: TrainState, table: FeatureTable
) -> tuple[Float[np.ndarray, "3 N F"], Float[np.ndarray, " N"]]:
    """Calibrate the target's features by the labels of the epoch before; give them and the probabilities of clean."""
    rows, labels, epoch = (
        _rows(table, state, "target"),
        np.asarray(state.slots.labels),
        int(state.slots.epoch),
    )
    known = labels >= 0
    if epoch == 0 or not known.any():
        return rows, np.ones(len(labels))
    logits = jnp.asarray(rows[0]) @ state.params["heads"]["own"]["kernel"][0]
    classes = frame.space.of("target", jnp.maximum(labels, 0))
    losses = np.asarray(smoothed_cross_entropy(logits, classes, smoothing=0.0, exists=state.slots.exists))[
        known
    ]
    spread = max(float(np.ptp(losses)), 1e-12)
    clean = np.full(len(labels), OUTLIER_CLEAN)
    clean[known] = lower_of_two_gaussians((losses - losses.min()) / spread)
    own = frame.config.dhccn
    rng = np.random.default_rng([frame.config.seed, epoch, zlib.crc32(b"calibration")])
    rows = calibrate(rows, labels, clean, threshold=own.noise, covariance=own.covariance, rng=rng)
    return rows, clean


def label(
    frame: Frame,
    state: TrainState,
    features: tuple[FeatureTable, ...],
    cameras: Int32[np.ndarray, " N"],
    epoch: int,
) -> Labels:
    """Cluster the calibrated joint features; samples in no cluster have label −1 and weight 0."""
    del cameras
    own = frame.config.dhccn
    joint = np.asarray(unit(jnp.asarray(_calibrated(frame, state, features[0])[0][0])))
    return plain_labels(own, cluster_rows(frame, own, joint, epoch))


def begin_epoch(
    frame: Frame,
    state: TrainState,
    features: EpochFeatures,
    labels: ByDomain[Labels],
) -> TrainState:
    """Fill the memories with centres, to which clean samples give more, and draw the clusters' columns of the heads."""
    space, slots, target = frame.space, state.slots, labels.target
    of_target, clean = _calibrated(frame, state, features.target[0])
    values, exists = _centres(of_target * clean[:, None], target, space.capacity)
    if features.source is None:  # the US protocol: the source is no class
        identities = (jnp.zeros_like(slots.centres[:, : space.num_source]), jnp.zeros(space.num_source, bool))
    else:
        identities = _centres(_rows(features.source[0], state, "source"), labels.source, space.num_source)
    epoch, slots = (
        int(slots.epoch),
        slots._replace(
            centres=jnp.concatenate([identities[0], values], axis=1),
            exists=jnp.concatenate([identities[1], exists]),
            labels=jnp.asarray(target.labels[:, 0]),
            epoch=slots.epoch + 1,
        ),
    )
    state = state.replace(slots=slots)
    if epoch > 0 and np.all(target.continued):
        return state
    kernel = state.params["heads"]["own"]["kernel"]
    drawn = jax.random.normal(epoch_key(frame.config.seed, "dhccn heads", epoch), kernel.shape, kernel.dtype)
    drawn = drawn * jnp.sqrt(2.0 / jnp.maximum(slots.exists.sum(), 1)).astype(kernel.dtype)
    renewed = jnp.arange(space.num_classes) >= (space.num_source if epoch else 0)
    heads = {"own": {"kernel": jnp.where(renewed, drawn, kernel)}}
    return state.replace(
        params={**state.params, "heads": heads},
        opt_state=forget_columns(state.opt_state, first=space.num_source),
    )


def _centres(rows: Float[np.ndarray, "3 N F"], labels: Labels, num_classes: int) -> tuple[Array, Array]:
    numbers = jnp.asarray(labels.labels[:, 0])
    values, exists = jax.vmap(lambda each: cluster_centres(each, numbers, num_classes=num_classes))(
        jnp.asarray(rows, jnp.result_type(float))
    )
    return values, exists[0]


def loss(
    frame: Frame,
    params: dict[str, Any],
    state: TrainState,
    source: Batch | None,
    target: Batch,
    key: PRNGKeyArray,
) -> tuple[Float[Array, ""], Change]:
    """Sum, for each domain, the contrast with the memories, the divergence, the triplets and the cross-entropies."""
    own, slots, terms = frame.config.dhccn, state.slots, {}
    seen = views(frame, key, source, target)
    outputs, statistics = pass_domains_with_parts(frame, params, state.statistics, seen, num_parts=own.parts)
    centres = list(slots.centres)
    for domain, batch, output in zip(("source", "target"), (source, target), outputs, strict=True):
        if batch is None or output is None:
            continue
        labels, weight = frame.space.of(domain, batch.label), batch.weight
        parts = [part.fused_unit for part in output.parts]
        rows = _all_features(params, output.whole.features.fused_unit, parts)
        units = [unit(each) for each in rows[:NUM_MEMORIES]]
        known = {"exists": slots.exists, "weight": weight}
        contrasts = [
            info_nce(each, memory, labels, temperature=own.temperature, **known)
            for each, memory in zip(units, slots.centres, strict=True)
        ]
        centres = [
            update_centres(memory, jax.lax.stop_gradient(each), labels, momentum=own.momentum, **known)
            for each, memory in zip(units, centres, strict=True)
        ]
        entropies = [
            weighted_mean(
                smoothed_cross_entropy(each @ kernel, labels, smoothing=0.0, exists=slots.exists), weight
            )
            for each, kernel in zip(rows, params["heads"]["own"]["kernel"], strict=True)
        ]
        triplets = [softmax_triplet(each, labels, weight=weight) for each in rows]
        terms[f"contrast_{domain}"] = sum(contrasts)
        terms[f"divergence_{domain}"] = jensen_shannon(units[1], units[2], weight=weight)
        terms[f"triplet_{domain}"] = sum(triplets) / len(rows)
        terms[f"identity_{domain}"] = sum(entropies) / len(rows)
    factors = weights(frame.config)
    total = sum((factors[name] * term for name, term in terms.items()), start=jnp.zeros(()))
    return total, Change(statistics, slots._replace(centres=jnp.stack(centres)), terms)


def after_update(frame: Frame, state: TrainState) -> TrainState:
    """Leave the state as it is, because `loss` has already moved the memories."""
    del frame
    return state


def weights(config: Config) -> dict[str, float]:
    """Give the factors: λ of memories and divergence, and 1 − λ of triplets and cross-entropies."""
    balance = config.dhccn.balance
    factors = {
        "contrast": balance,
        "divergence": balance,
        "triplet": 1.0 - balance,
        "identity": 1.0 - balance,
    }
    domains = ("target",) if config.adapt.protocol == "us" else ("source", "target")
    return {f"{term}_{domain}": factor for term, factor in factors.items() for domain in domains}
