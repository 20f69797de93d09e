"""MMT, mutual mean-teaching: two students, each taught by the moving average of the other.

Each epoch clusters the target by K-means on the mean of both teachers' fused features, and gives all heads the
clusters' centres as columns. In each step, each student sees its own view of the batch. It learns from the clusters
(hard labels) and from the answers that the other student's teacher gives to the other student's view (soft labels).
The teachers follow their students, and the first teacher is tested. Under the UDA protocol the students also learn from
the source's identities.

Source: Ge et al., "Mutual mean-teaching: pseudo label refinery for unsupervised domain adaptation on person
re-identification", ICLR 2020.
Differs from the source: the source has one modality, and here the fused feature is clustered and learnt from. Both
students start from the same pre-trained weights (in the source, from two pre-trainings), so only the views make them
differ. The optimiser goes on from epoch to epoch; only the moments of new columns become zero. Under "uda" the students
learn from the labelled source too, which the source's code never does.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, PRNGKeyArray

from man_jax.array_math import unit
from man_jax.clustering.kmeans import cluster_tables
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
from man_jax.losses.identity import smoothed_cross_entropy
from man_jax.losses.soft import soft_cross_entropy, soft_triplet, softmax_triplet
from man_jax.losses.weighted import weighted_mean
from man_jax.memories.moving_average import moving_average
from man_jax.memories.prototypes import make_bank
from man_jax.networks.heads import forget_columns, set_columns
from man_jax.networks.three_branch import Outputs
from man_jax.randomness import other_key

NEEDS = ("views",)

KEYS = {
    "alpha": Key(0.999, "of the teachers' moving average, at most; source §4.2", least=0, largest=1),
    "soft_identity": Key(
        0.5, "share of the soft cross-entropy, beside the hard one; source §4.2", least=0, largest=1
    ),
    "soft_triplet": Key(
        0.8, "share of the soft triplet, beside the hard one; source §4.2", least=0, largest=1
    ),
    "head_norm": Key(
        "unit", "of new target columns: 1 (source), or the source's mean norm", ("unit", "matched")
    ),
}

TEACHERS = tuple(
    Network(
        params=("slots", "teachers", name, "params"),
        source=("slots", "teachers", name, "statistics", "source"),
        target=("slots", "teachers", name, "statistics", "target"),
    )
    for name in ("first", "second")
)

OTHER = {"first": "second", "second": "first"}


class Slots(NamedTuple):
    """The arrays that MMT adds to the state."""

    teachers: dict[str, dict[str, Any]]
    """The parameters of each teacher by name, and its running statistics by domain."""
    exists: Bool[Array, " C"]
    """Marks the classes that take part in the softmax."""
    updates: Int32[Array, ""]
    """Number of adaptation steps so far."""


def networks(config: Config) -> tuple[Network, ...]:
    """Give the places of both teachers; the first one is tested."""
    del config
    return TEACHERS


def capacity(config: Config, num_triples: int) -> int:
    """Give the number of clusters, k of K-means."""
    del num_triples
    return config.adapt.num_clusters


def start(frame: Frame, state: TrainState) -> TrainState:
    """Copy the pre-trained network to two students and two teachers."""
    teacher = {"params": state.params, "statistics": state.statistics}
    teachers = {"first": teacher, "second": teacher}
    exists = frame.space.exists(frame.space.capacity)
    return state.replace(
        params={"first": state.params, "second": state.params},
        statistics={"first": state.statistics, "second": state.statistics},
        slots=Slots(teachers, exists, jnp.int32(0)),
    )


def label(
    frame: Frame,
    state: TrainState,
    features: tuple[FeatureTable, ...],
    cameras: Int32[np.ndarray, " N"],
    epoch: int,
) -> Labels:
    """Cluster the mean of both teachers' fused features."""
    del state, cameras
    adapt = frame.config.adapt
    mean = np.asarray(unit(jnp.asarray(sum(table.fused for table in features))))
    (labels,) = cluster_tables(
        [mean],
        **kmeans_settings(frame.config, epoch),
    )
    weight = np.ones(len(labels), np.float32)
    return Labels(labels[:, None], weight, adapt.num_clusters, clusterings={"F": labels})


def begin_epoch(
    frame: Frame,
    state: TrainState,
    features: EpochFeatures,
    labels: ByDomain[Labels],
) -> TrainState:
    """Give the heads of all four networks the clusters' centres as columns; moments of these columns become zero."""
    space, target = frame.space, labels.target
    slots = state.slots._replace(exists=space.exists(target.num_clusters))
    if np.all(target.continued):
        return state.replace(slots=slots)
    first, second = features.target
    mean = FeatureTable(
        *(np.asarray(unit(jnp.asarray(a + b))) for a, b in zip(first[:3], second[:3], strict=True))
    )
    centres = make_bank(
        mean.modal,
        mean.fused,
        target.labels[:, 0],
        num_classes=space.capacity,
        mask=target.weight > 0,
        weights="average",
        temperature=1.0,
    )

    def with_columns(params):
        heads = set_columns(
            params["heads"],
            centres.modal,
            centres.fused,
            first=space.num_source,
            valid=centres.valid,
            norm=frame.config.mmt.head_norm,
        )
        return {**params, "heads": heads}

    teachers = {
        name: {**each, "params": with_columns(each["params"])} for name, each in slots.teachers.items()
    }
    return state.replace(
        params={name: with_columns(params) for name, params in state.params.items()},
        opt_state=forget_columns(state.opt_state, first=space.num_source),
        slots=slots._replace(teachers=teachers),
    )


def loss(
    frame: Frame,
    params: dict[str, Any],
    state: TrainState,
    source: Batch | None,
    target: Batch,
    key: PRNGKeyArray,
) -> tuple[Float[Array, ""], Change]:
    """Compute each student's loss from the labels and from the other student's teacher, and sum both losses."""
    seen = {
        "first": views(frame, key, source, target),
        "second": views(frame, other_key(key, "second view"), source, target),
    }
    students, taught, statistics, teachers = {}, {}, {}, {}
    for name, view in seen.items():
        teacher = state.slots.teachers[name]
        students[name], statistics[name] = pass_domains(frame, params[name], state.statistics[name], view)
        taught[name], moved = pass_domains(
            frame, teacher["params"], teacher["statistics"], ByDomain(None, view.target)
        )
        teachers[name] = {**teacher, "statistics": moved}
    exists, terms = state.slots.exists, {}
    for name, outputs in students.items():
        soft = taught[OTHER[name]].target
        for term, value in target_terms(frame, outputs.target, soft, target, exists).items():
            terms[f"{term}_{name}"] = value
        if source is not None:
            for term, value in hard_terms(
                outputs.source, source.label, source.weight, exists, "source", frame.config
            ).items():
                terms[f"{term}_{name}"] = value
    factors = weights(frame.config)
    total = sum((factors.get(name, 1.0) * term for name, term in terms.items()), start=jnp.zeros(()))
    return total, Change(statistics, state.slots._replace(teachers=teachers), terms)


def target_terms(
    frame: Frame, student: Outputs, teacher: Outputs, batch: Batch, exists: Bool[Array, " C"]
) -> dict[str, Float[Array, ""]]:
    """Compare a student's fused features and logits with the labels and with the other student's teacher."""
    labels, weight = frame.space.of("target", batch.label), batch.weight
    pooled = student.features.fused_pooled
    return {
        **hard_terms(student, labels, weight, exists, "target", frame.config),
        "soft_identity": soft_cross_entropy(
            student.logits[-1], teacher.logits[-1], exists=exists, weight=weight
        ),
        "soft_triplet": soft_triplet(pooled, teacher.features.fused_pooled, labels, weight=weight),
    }


def hard_terms(
    student: Outputs,
    labels: Int32[Array, " B"],
    weight: Float[Array, " B"],
    exists: Bool[Array, " C"],
    domain: str,
    config: Config,
) -> dict[str, Float[Array, ""]]:
    """Compute the cross-entropy and the softmax triplet of a student's fused outputs."""
    values = smoothed_cross_entropy(
        student.logits[-1], labels, smoothing=config.loss.smoothing, exists=exists
    )
    return {
        f"identity_{domain}": weighted_mean(values, weight),
        f"triplet_{domain}": softmax_triplet(student.features.fused_pooled, labels, weight=weight),
    }


def after_update(frame: Frame, state: TrainState) -> TrainState:
    """Move each teacher towards its student."""
    slots = state.slots
    teachers = {
        name: {
            **teacher,
            "params": moving_average(
                teacher["params"], state.params[name], step=slots.updates, alpha=frame.config.mmt.alpha
            ),
        }
        for name, teacher in slots.teachers.items()
    }
    return state.replace(slots=slots._replace(teachers=teachers, updates=slots.updates + 1))


def weights(config: Config) -> dict[str, float]:
    """Give the factors of the target's hard and soft terms; the terms of the source have the factor 1."""
    own = config.mmt
    factors = {
        "identity_target": 1.0 - own.soft_identity,
        "triplet_target": 1.0 - own.soft_triplet,
        "soft_identity": own.soft_identity,
        "soft_triplet": own.soft_triplet,
    }
    return {f"{term}_{name}": factor for term, factor in factors.items() for name in OTHER}
