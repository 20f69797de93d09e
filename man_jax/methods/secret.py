"""SECRET: global features and those of two parts, whose clusters refine each other, and a mean teacher.

Each epoch clusters the target three times, by the teacher's fused features of the whole image, of its upper half and
of its lower half. A sample is kept if its cluster in one space and its cluster in another overlap enough. The student
learns in each space from the labels that are kept and from the teacher's soft answers, and the teacher is tested.
Under the UDA protocol the student also learns from the source's identities.

Source: He et al., "SECRET: self-consistent pseudo label refinement for unsupervised domain adaptive person
re-identification", AAAI 2022.
Differs from the source: the source has one modality, and here the fused features are clustered and learnt from. The
parts are stripes of the last maps with necks and heads of their own; in the source a residual block comes before the
stripes, which its pre-training trains. docs/methods/secret.md lists the rest.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, PRNGKeyArray

from man_jax.clustering.kmeans import cluster_tables
from man_jax.clustering.overlap import keep_overlapping
from man_jax.clustering.sizes import OUTLIER
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
from man_jax.losses.identity import smoothed_cross_entropy
from man_jax.losses.soft import soft_cross_entropy, soft_triplet, softmax_triplet
from man_jax.losses.weighted import weighted_mean
from man_jax.memories.centres import cluster_centres
from man_jax.memories.moving_average import moving_average
from man_jax.memories.prototypes import make_bank
from man_jax.method_parts.cluster_rows import cluster_rows, most_clusters
from man_jax.networks.heads import forget_columns, put_columns, set_columns
from man_jax.networks.part_necks import necks_like, part_rows

NEEDS = ("stages",)

KEYS = {
    "overlap": Key(
        0.4, "K: share of a cluster that one cluster of the other space must exceed", least=0, largest=0.99
    ),
    "alpha": Key(0.999, "of the teacher's moving average, at most; source: 0.999", least=0, largest=1),
    "soft_identity": Key(
        0.5, "share of the soft cross-entropy, beside the hard one; source: 0.5", least=0, largest=1
    ),
    "soft_triplet": Key(
        0.8, "share of the soft triplet, beside the hard one; source: 0.8", least=0, largest=1
    ),
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

SPACES = ("F", "upper", "lower")
"""The whole image and its halves; labels have the drawn column and then one for each space."""
REFERENCES = {"F": ("upper", "lower"), "upper": ("F",), "lower": ("F",)}
NUM_PARTS = len(SPACES) - 1
TEACHER = Network(
    params=("slots", "teacher", "params", "network"),
    source=("slots", "teacher", "statistics", "source", "network"),
    target=("slots", "teacher", "statistics", "target", "network"),
    num_parts=NUM_PARTS,
)


class Slots(NamedTuple):
    """The arrays that SECRET adds to the state."""

    teacher: dict[str, Any]
    """Its parameters, and its running statistics by domain."""
    exists: Bool[Array, "S C"]
    """Marks the classes of each space that take part in the softmax."""
    updates: Int32[Array, ""]
    """Number of adaptation steps so far."""


def networks(config: Config) -> tuple[Network, ...]:
    """Give the place of the teacher, with the features of two parts."""
    del config
    return (TEACHER,)


def capacity(config: Config, num_triples: int) -> int:
    """Give the largest number of clusters that a space may have."""
    return most_clusters(config, config.secret, num_triples)


def start(frame: Frame, state: TrainState) -> TrainState:
    """Add necks and heads of the parts to the pre-trained network, and copy all of it to the teacher."""
    by_domain = [
        necks_like({"params": state.params, "batch_stats": running}, num_parts=NUM_PARTS)
        for running in state.statistics
    ]
    classes = frame.space.num_classes
    kernel = jnp.zeros((NUM_PARTS, frame.model.num_modalities * frame.model.dim, classes))
    params = {
        "network": state.params,
        "necks": by_domain[0]["params"],
        "heads": {"parts": {"kernel": kernel}},
    }
    statistics = ByDomain(
        *(
            {"network": running, "necks": necks["batch_stats"]}
            for running, necks in zip(state.statistics, by_domain, strict=True)
        )
    )
    teacher = {"params": params, "statistics": statistics}
    exists = jnp.zeros((len(SPACES), classes), bool)
    return state.replace(params=params, statistics=statistics, slots=Slots(teacher, exists, jnp.int32(0)))


def label(
    frame: Frame,
    state: TrainState,
    features: tuple[FeatureTable, ...],
    cameras: Int32[np.ndarray, " N"],
    epoch: int,
) -> Labels:
    """Cluster each space, and keep the samples that all spaces keep."""
    del cameras
    own, rows = frame.config.secret, _spaces(features[0], state.slots.teacher, "target")
    if own.clusters == "kmeans":
        each = list(cluster_tables(rows, **kmeans_settings(frame.config, epoch)))
    else:
        each = [cluster_rows(frame, own, table, epoch) for table in rows]
    found: dict[str, np.ndarray] = dict(zip(SPACES, each, strict=True))
    refined = []
    for name, labels in found.items():
        agreed = [keep_overlapping(labels, found[other], share=own.overlap) for other in REFERENCES[name]]
        refined.append(np.where(np.all(np.stack(agreed) >= 0, axis=0), labels, OUTLIER))
    columns = np.stack(refined, axis=1).astype(np.int32)
    kept = np.all(columns >= 0, axis=1)
    drawn = np.where(kept, columns[:, 0], OUTLIER)
    return Labels(
        np.column_stack([drawn, columns]).astype(np.int32),
        kept.astype(np.float32),
        max(int(labels.max(initial=-1)) + 1 for labels in found.values()),
        clusterings=found,
        estimated=own.clusters != "kmeans",
    )


def _spaces(table: FeatureTable, network: dict[str, Any], domain: DomainName) -> list[np.ndarray]:
    """Give the fused unit features [N, F] of each space."""
    assert table.parts is not None  # TEACHER asks for them
    necks = {
        "params": network["params"]["necks"],
        "batch_stats": getattr(network["statistics"], domain)["necks"],
    }
    return [table.fused, *part_rows(necks, table.parts)]


def _of_space(labels: Any, space: int) -> Any:
    """Take the labels of a space; true identities have one column, which is that of all spaces."""
    return labels[:, 0 if labels.shape[1] == 1 else space + 1]


def begin_epoch(
    frame: Frame,
    state: TrainState,
    features: EpochFeatures,
    labels: ByDomain[Labels],
) -> TrainState:
    """Give the heads of student and teacher the clusters' centres as columns; moments of these columns become zero.

    At the first epoch the heads of the parts get the centres of the source's identities too.
    """
    space, slots, target = frame.space, state.slots, labels.target
    columns = [_of_space(target.labels, number) for number in range(len(SPACES))]
    of_source = np.full(space.num_source, features.source is not None)
    exists = [np.append(of_source, np.isin(np.arange(space.capacity), each)) for each in columns]
    slots = slots._replace(exists=jnp.asarray(np.stack(exists)))
    if np.all(target.continued):
        return state.replace(slots=slots)
    (table,) = features.target
    bank = make_bank(
        table.modal,
        table.fused,
        columns[0],
        num_classes=space.capacity,
        mask=columns[0] >= 0,
        weights="average",
        temperature=1.0,
    )
    rows = _spaces(table, slots.teacher, "target")[1:]
    renewed = [(space.num_source, _part_centres(rows, columns[1:], space.capacity))]
    if features.source is not None and int(slots.updates) == 0:
        rows, identities = (
            _spaces(features.source[0], slots.teacher, "source")[1:],
            labels.source.labels[:, 0],
        )
        renewed.append((0, _part_centres(rows, [identities] * NUM_PARTS, space.num_source)))

    def with_columns(params: dict[str, Any]) -> dict[str, Any]:
        heads = set_columns(
            params["network"]["heads"],
            bank.modal,
            bank.fused,
            first=space.num_source,
            valid=bank.valid,
            norm="unit",
        )
        kernel = params["heads"]["parts"]["kernel"]
        for first, centres in renewed:
            each = zip(kernel, centres, strict=True)
            kernel = jnp.stack(
                [put_columns(old, rows, first=first, valid=valid) for old, (rows, valid) in each]
            )
        network = {**params["network"], "heads": heads}
        return {**params, "network": network, "heads": {"parts": {"kernel": kernel}}}

    teacher = {**slots.teacher, "params": with_columns(slots.teacher["params"])}
    return state.replace(
        params=with_columns(state.params),
        opt_state=forget_columns(state.opt_state, first=space.num_source),
        slots=slots._replace(teacher=teacher),
    )


def _part_centres(rows: list[np.ndarray], labels: list[np.ndarray], num_classes: int) -> list[tuple]:
    """Compute the centres [K, F] of each part's classes, and which classes there are."""
    return [
        cluster_centres(jnp.asarray(each), jnp.asarray(numbers), num_classes=num_classes)
        for each, numbers in zip(rows, labels, strict=True)
    ]


class Answers(NamedTuple):
    """What a network says of a batch in one space: g before the neck, and logits."""

    pooled: Float[Array, "B F"]
    logits: Float[Array, "B C"]


def _answers(params: dict[str, Any], output: WithParts) -> list[Answers]:
    whole = Answers(output.whole.features.fused_pooled, output.whole.logits[-1])
    kernels = params["heads"]["parts"]["kernel"]
    parts = [
        Answers(part.fused_pooled, part.fused_normed @ kernel)
        for part, kernel in zip(output.parts, kernels, strict=True)
    ]
    return [whole, *parts]


def loss(
    frame: Frame,
    params: dict[str, Any],
    state: TrainState,
    source: Batch | None,
    target: Batch,
    key: PRNGKeyArray,
) -> tuple[Float[Array, ""], Change]:
    """Sum the terms of all spaces: those of the labels, and those of the teacher's answers to the same view."""
    seen, teacher = views(frame, key, source, target), state.slots.teacher
    student, statistics = pass_domains_with_parts(frame, params, state.statistics, seen, num_parts=NUM_PARTS)
    taught, moved = pass_domains_with_parts(
        frame, teacher["params"], teacher["statistics"], ByDomain(None, seen.target), num_parts=NUM_PARTS
    )
    terms: dict[str, Float[Array, ""]] = {}

    def add(name: str, value: Float[Array, ""]) -> None:
        terms[name] = terms.get(name, 0.0) + value

    answered = None if taught.target is None else _answers(teacher["params"], taught.target)
    for domain, batch, output in zip(("source", "target"), (source, target), student, strict=True):
        if batch is None or output is None:
            continue
        for number, found in enumerate(_answers(params, output)):
            labels, exists = (
                frame.space.of(domain, _of_space(batch.labels, number)),
                state.slots.exists[number],
            )
            # A space may keep no sample of a cluster that another space has.
            weight = jnp.where((labels >= 0) & exists[labels], batch.weight, 0.0)
            smoothing = frame.config.loss.smoothing
            values = smoothed_cross_entropy(found.logits, labels, smoothing=smoothing, exists=exists)
            add(f"identity_{domain}", weighted_mean(values, weight))
            add(f"triplet_{domain}", softmax_triplet(found.pooled, labels, weight=weight))
            if domain == "target" and answered:
                soft = answered[number]
                add(
                    "soft_identity",
                    soft_cross_entropy(found.logits, soft.logits, exists=exists, weight=weight),
                )
                add("soft_triplet", soft_triplet(found.pooled, soft.pooled, labels, weight=weight))
    factors = weights(frame.config)
    total = sum((factors.get(name, 1.0) * term for name, term in terms.items()), start=jnp.zeros(()))
    slots = state.slots._replace(teacher={**teacher, "statistics": moved})
    return total, Change(statistics, slots, terms)


def after_update(frame: Frame, state: TrainState) -> TrainState:
    """Move the teacher towards the student."""
    slots = state.slots
    params = moving_average(
        slots.teacher["params"], state.params, step=slots.updates, alpha=frame.config.secret.alpha
    )
    teacher = {**slots.teacher, "params": params}
    return state.replace(slots=slots._replace(teacher=teacher, updates=slots.updates + 1))


def weights(config: Config) -> dict[str, float]:
    """Give the factors of the target's hard and soft terms; the terms of the source have the factor 1."""
    own = config.secret
    return {
        "identity_target": 1.0 - own.soft_identity,
        "triplet_target": 1.0 - own.soft_triplet,
        "soft_identity": own.soft_identity,
        "soft_triplet": own.soft_triplet,
    }
