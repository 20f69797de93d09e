"""LP, learning to purification: part features correct the labels, and a trained teacher corrects the features.

Each epoch clusters the target by a mixture of three distances: of the whole image, of its upper half and of its lower
half. Three memories hold the clusters' centres, and one contrastive loss for each compares the features with them.
The first epochs train the teacher. Then a student starts again from the pre-trained weights and learns the same, with
its features kept near those of the teacher. Under the UDA protocol the source's identities are classes too.

Source: Lan et al., "Learning to purification for unsupervised person re-identification", TIP 2023.
Differs from the source: the source has one modality, and here the fused features are clustered and contrasted. Teacher
and student share the epochs of one run. docs/methods/lp.md lists the rest.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, PRNGKeyArray

from man_jax.clustering.dbscan import dbscan
from man_jax.clustering.jaccard import jaccard_distances
from man_jax.clustering.kmeans import cluster_tables
from man_jax.clustering.sizes import keep_largest
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
    WithParts,
    kmeans_settings,
    pass_domains_with_parts,
    views,
)
from man_jax.keys import Key
from man_jax.losses.contrastive import info_nce
from man_jax.losses.distillation import feature_distillation
from man_jax.memories.centres import cluster_centres, update_centres
from man_jax.memories.moments import forget_moments
from man_jax.method_parts.cluster_rows import most_clusters, plain_labels
from man_jax.networks.part_necks import necks_like, part_rows

NEEDS = ("stages",)

KEYS = {
    "part_distance": Key(
        0.15, "λ1: share of each half in the distance that is clustered; source", least=0, largest=0.5
    ),
    "part_loss": Key(
        0.1, "λ2: weight of each half's losses, the whole has 1 − λ2; source", least=0, largest=1
    ),
    "distillation": Key(1.0, "μ: weight of the distance to the teacher; source", least=0),
    "teacher_share": Key(0.5, "share of adapt.epochs that trains the teacher; ours", least=0, largest=1),
    "temperature": Key(0.05, "τ of InfoNCE; source", least=1e-6),
    "momentum": Key(0.1, "m of the memories: c ← m c + (1 − m) f; source", least=0, largest=1),
    "clusters": Key(
        "kmeans",
        "k is adapt.num_clusters | dbscan: on the Jaccard distances, as the source",
        ("kmeans", "dbscan"),
    ),
    "eps": Key(0.6, "distance within which samples are near; source's code", least=0, largest=0.99),
    "min_samples": Key(
        4, "near samples, itself among them, that make a sample the core of a cluster", least=1
    ),
    "k1": Key(30, "neighbours that are compared; source's code", least=1),
    "k2": Key(6, "neighbours whose encodings are averaged; at most k1; source's code", least=1),
    "capacity": Key(0, "clusters there is room for; 0: one in min_samples triples", least=0),
}

NUM_PARTS = 2
TRAINED = Network(
    params=("params", "network"),
    source=("statistics", "source", "network"),
    target=("statistics", "target", "network"),
    num_parts=NUM_PARTS,
)


class Slots(NamedTuple):
    """The arrays that LP adds to the state."""

    kept: dict[str, Any]
    """Parameters and running statistics: the pre-trained ones while the teacher learns, then the teacher's."""
    centres: Float[Array, "S C F"]
    """Centres of unit length of all classes, for the whole image and each half."""
    exists: Bool[Array, " C"]
    epoch: Int32[Array, ""]
    """How many epochs have begun."""
    distils: Bool[Array, ""]
    """Whether the student learns, and not the teacher."""
    still: Bool[Array, ""]
    """Whether the memories do not move, as in the student's first epoch."""


def networks(config: Config) -> tuple[Network, ...]:
    """Give the place of the network that learns, with the features of two parts."""
    del config
    return (TRAINED,)


def capacity(config: Config, num_triples: int) -> int:
    """Give the largest number of clusters that an epoch may have."""
    return most_clusters(config, config.lp, num_triples)


def start(frame: Frame, state: TrainState) -> TrainState:
    """Add the parts' necks to the pre-trained network, keep a copy of it, and add memories in which no class exists."""
    necks = [
        necks_like({"params": state.params, "batch_stats": running}, num_parts=NUM_PARTS)
        for running in state.statistics
    ]
    params = {"network": state.params, "necks": necks[0]["params"]}
    each = zip(state.statistics, necks, strict=True)
    statistics = ByDomain(*({"network": running, "necks": neck["batch_stats"]} for running, neck in each))
    classes = frame.space.num_classes
    slots = Slots(
        kept={"params": params, "statistics": statistics},
        centres=jnp.zeros((1 + NUM_PARTS, classes, frame.model.num_modalities * frame.model.dim)),
        exists=jnp.zeros(classes, bool),
        epoch=jnp.int32(0),
        distils=jnp.array(False),
        still=jnp.array(False),
    )
    return state.replace(params=params, statistics=statistics, slots=slots)


def _spaces(table: FeatureTable, state: TrainState, domain: DomainName) -> list[np.ndarray]:
    """Give the fused unit features [N, F] of the whole image and of each half."""
    assert table.parts is not None  # TRAINED asks for them
    running = getattr(state.statistics, domain)["necks"]
    return [table.fused, *part_rows({"params": state.params["necks"], "batch_stats": running}, table.parts)]


def label(
    frame: Frame,
    state: TrainState,
    features: tuple[FeatureTable, ...],
    cameras: Int32[np.ndarray, " N"],
    epoch: int,
) -> Labels:
    """Cluster by the mixture of the three distances; samples in no cluster have label −1 and weight 0."""
    del cameras
    own, rows = frame.config.lp, _spaces(features[0], state, "target")
    shares = np.array([1.0 - NUM_PARTS * own.part_distance, *[own.part_distance] * NUM_PARTS])
    if own.clusters == "kmeans":
        # The cosines of these rows are the mixtures of the three cosines.
        mixed = np.concatenate([np.sqrt(s) * each for s, each in zip(shares, rows, strict=True)], axis=1)
        (labels,) = cluster_tables([mixed.astype(rows[0].dtype)], **kmeans_settings(frame.config, epoch))
    else:
        k1 = min(own.k1, len(rows[0]))
        each = (jaccard_distances(table, k1=k1, k2=min(own.k2, k1)) for table in rows)
        distances = sum((np.float32(s) * d for s, d in zip(shares, each, strict=True)), start=np.float32(0))
        labels = dbscan(distances, eps=own.eps, min_samples=own.min_samples)
        labels = keep_largest(labels, most=frame.space.capacity)
    return plain_labels(own, labels)


def begin_epoch(
    frame: Frame,
    state: TrainState,
    features: EpochFeatures,
    labels: ByDomain[Labels],
) -> TrainState:
    """Fill the memories with the classes' centres; after the teacher's last epoch, let the student take its place."""
    sizes = ByDomain(frame.space.num_source, frame.space.capacity)
    centres, exists = [], []
    for domain, tables, known, size in zip(("source", "target"), features, labels, sizes, strict=True):
        if tables is None:  # the US protocol: the source is no class
            centres.append(jnp.zeros((1 + NUM_PARTS, size, state.slots.centres.shape[-1])))
            exists.append(jnp.zeros(size, bool))
            continue
        numbers = jnp.asarray(known.labels[:, 0])
        rows = jnp.asarray(np.stack(_spaces(tables[0], state, domain)))
        values, there = jax.vmap(lambda each, n=numbers, k=size: cluster_centres(each, n, num_classes=k))(
            rows
        )
        centres.append(values)
        exists.append(there[0])
    own, epoch, slots = frame.config, int(state.slots.epoch), state.slots
    student_begins = round(own.lp.teacher_share * own.adapt.epochs)
    if epoch == student_begins:
        taught = {"params": state.params, "statistics": state.statistics}
        state = state.replace(**slots.kept, opt_state=forget_moments(state.opt_state))
        slots = slots._replace(kept=taught)
    slots = slots._replace(
        centres=jnp.concatenate(centres, axis=1),
        exists=jnp.concatenate(exists),
        epoch=jnp.int32(epoch + 1),
        distils=jnp.array(epoch >= student_begins),
        still=jnp.array(epoch == student_begins),
    )
    return state.replace(slots=slots)


def _rows(output: WithParts) -> Float[Array, "S B F"]:
    """Stack the fused unit features of the whole image and of each half."""
    return jnp.stack([output.whole.features.fused_unit, *(part.fused_unit for part in output.parts)])


def loss(
    frame: Frame,
    params: dict[str, Any],
    state: TrainState,
    source: Batch | None,
    target: Batch,
    key: PRNGKeyArray,
) -> tuple[Float[Array, ""], Change]:
    """Compare each space's features with its memory and, in the student, with the teacher's; move the memories."""
    own, slots = frame.config.lp, state.slots
    seen = views(frame, key, source, target)
    outputs, statistics = pass_domains_with_parts(frame, params, state.statistics, seen, num_parts=NUM_PARTS)
    terms, centres = {}, list(slots.centres)
    momentum = jnp.where(slots.still, 1.0, own.momentum)
    for domain, batch, output in zip(("source", "target"), (source, target), outputs, strict=True):
        if batch is None or output is None:
            continue
        labels, values = frame.space.of(domain, batch.label), []
        known = {"exists": slots.exists, "weight": batch.weight}
        for space, rows in enumerate(_rows(output)):
            values.append(info_nce(rows, slots.centres[space], labels, temperature=own.temperature, **known))
            centres[space] = update_centres(
                centres[space], jax.lax.stop_gradient(rows), labels, momentum=momentum, **known
            )
        terms[f"contrast_{domain}"], terms[f"contrast_parts_{domain}"] = values[0], sum(values[1:])
        if domain == "target":
            taught = _teacher_rows(frame, slots, seen.target, like=_rows(output))
            apart = [
                jnp.where(slots.distils, feature_distillation(*pair, weight=batch.weight), 0.0)
                for pair in zip(_rows(output), taught, strict=True)
            ]
            terms["distillation"], terms["distillation_parts"] = apart[0], sum(apart[1:])
    factors = weights(frame.config)
    total = sum((factors[name] * term for name, term in terms.items()), start=jnp.zeros(()))
    return total, Change(statistics, slots._replace(centres=jnp.stack(centres)), terms)


def _teacher_rows(
    frame: Frame, slots: Slots, view: Float[Array, "B M H W 3"], *, like: Float[Array, "S B F"]
) -> Float[Array, "S B F"]:
    """Give the teacher's features of a view; zeros, without a pass, while the teacher itself learns."""

    def passed() -> Float[Array, "S B F"]:
        kept = slots.kept
        outputs, _ = pass_domains_with_parts(
            frame, kept["params"], kept["statistics"], ByDomain(None, view), num_parts=NUM_PARTS
        )
        assert outputs.target is not None
        return _rows(outputs.target)

    return jax.lax.cond(slots.distils, passed, lambda: jnp.zeros_like(like))


def after_update(frame: Frame, state: TrainState) -> TrainState:
    """Leave the state as it is, because `loss` has already moved the memories."""
    del frame
    return state


def weights(config: Config) -> dict[str, float]:
    """Give the factor of each term: 1 − λ2 for the whole, λ2 for each half, and μ times these for the distillation."""
    own = config.lp
    domains = ("target",) if config.adapt.protocol == "us" else ("source", "target")
    whole = {f"contrast_{domain}": 1.0 - own.part_loss for domain in domains}
    halves = {f"contrast_parts_{domain}": own.part_loss for domain in domains}
    return {
        **whole,
        **halves,
        "distillation": own.distillation * (1.0 - own.part_loss),
        "distillation_parts": own.distillation * own.part_loss,
    }
