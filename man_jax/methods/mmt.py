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

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, PRNGKeyArray

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
)
from man_jax.keys import Key
from man_jax.method_parts.two_students import TEACHERS, follow_pair, pass_pair, renew_columns, start_pair
from man_jax.objectives.mutual_teaching import (
    PAIR,
    answer,
    mean_direction,
    mutual_factors,
    mutual_terms,
)

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

OTHER = {"first": "second", "second": "first"}


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
    return start_pair(frame, state)


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
    target, norm = labels.target, frame.config.mmt.head_norm
    known = {"clusters": target.labels[:, 0], "mask": target.weight > 0}
    return renew_columns(frame, state, features, target, **known, norm=norm)


def loss(
    frame: Frame,
    params: dict[str, Any],
    state: TrainState,
    source: Batch | None,
    target: Batch,
    key: PRNGKeyArray,
) -> tuple[Float[Array, ""], Change]:
    """Compute each student's loss from the labels and from the other student's teacher, and sum both losses."""
    passed = pass_pair(frame, params, state, source, target, key)
    terms = mutual_terms(
        {name: (outputs.source, outputs.target) for name, outputs in passed.students.items()},
        {name: answer(passed.taught[OTHER[name]].target) for name in PAIR},
        source=None if source is None else (source.label, source.weight),
        target=(frame.space.of("target", target.label), target.weight),
        exists=state.slots.exists,
        smoothing=frame.config.loss.smoothing,
    )
    factors = weights(frame.config)
    total = sum((factors.get(name, 1.0) * term for name, term in terms.items()), start=jnp.zeros(()))
    return total, Change(passed.statistics, state.slots._replace(teachers=passed.teachers), terms)


def after_update(frame: Frame, state: TrainState) -> TrainState:
    """Move each teacher towards its student."""
    return follow_pair(state, alpha=frame.config.mmt.alpha)


def weights(config: Config) -> dict[str, float]:
    """Give the factors of the target's hard and soft terms; the terms of the source have the factor 1."""
    own = config.mmt
    return mutual_factors(soft_identity=own.soft_identity, soft_triplet=own.soft_triplet)
