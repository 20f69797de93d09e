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
from man_jax.networks.heads import forget_columns
from man_jax.objectives.mutual_teaching import (
    PAIR,
    answer,
    follow_students,
    mean_centres,
    mean_direction,
    mutual_factors,
    mutual_terms,
    with_columns,
)
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
    for name in PAIR
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
    mean = mean_direction([table.fused for table in features])
    (labels,) = cluster_tables([mean], **kmeans_settings(frame.config, epoch))
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
    centres = mean_centres(
        [table.modal for table in features.target],
        [table.fused for table in features.target],
        target.labels[:, 0],
        num_clusters=space.capacity,
        mask=target.weight > 0,
    )
    columns = {"first": space.num_source, "norm": frame.config.mmt.head_norm}
    teachers = {
        name: {**each, "params": with_columns(each["params"], centres, **columns)}
        for name, each in slots.teachers.items()
    }
    return state.replace(
        params={name: with_columns(params, centres, **columns) for name, params in state.params.items()},
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
    terms = mutual_terms(
        {name: (outputs.source, outputs.target) for name, outputs in students.items()},
        {name: answer(taught[OTHER[name]].target) for name in PAIR},
        source=None if source is None else (source.label, source.weight),
        target=(frame.space.of("target", target.label), target.weight),
        exists=state.slots.exists,
        smoothing=frame.config.loss.smoothing,
    )
    factors = weights(frame.config)
    total = sum((factors.get(name, 1.0) * term for name, term in terms.items()), start=jnp.zeros(()))
    return total, Change(statistics, state.slots._replace(teachers=teachers), terms)


def after_update(frame: Frame, state: TrainState) -> TrainState:
    """Move each teacher towards its student."""
    slots = state.slots
    teachers = follow_students(slots.teachers, state.params, step=slots.updates, alpha=frame.config.mmt.alpha)
    return state.replace(slots=slots._replace(teachers=teachers, updates=slots.updates + 1))


def weights(config: Config) -> dict[str, float]:
    """Give the factors of the target's hard and soft terms; the terms of the source have the factor 1."""
    own = config.mmt
    return mutual_factors(soft_identity=own.soft_identity, soft_triplet=own.soft_triplet)
