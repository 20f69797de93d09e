"""P2LR: two students and two mean teachers that learn only the labels of which they are least uncertain.

Each epoch clusters the target by K-means on the mean of both teachers' fused features. A label's uncertainty is how far
the sample's similarities to all centres are from those of an ideal sample of its cluster. The least uncertain samples
are learnt from, few at first and all in the last epoch. In each step each student learns from the clusters (hard
labels) and from the mean of both teachers' answers (soft labels). The first teacher is tested.

Source: Han et al., "Delving into probabilistic uncertainty for unsupervised domain adaptive person re-identification",
AAAI 2022.
Differs from the source: the source has one modality, and here the fused feature is clustered and learnt from. Both
students start from the same pre-trained weights (in the source, from two pre-trainings). The optimiser goes on from
epoch to epoch; only the moments of new columns become zero. Under "uda" the students learn from the labelled source
too, which the source's code never does.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, PRNGKeyArray

from man_jax.clustering.kmeans import cluster_tables
from man_jax.clustering.uncertainty import label_uncertainty, least_uncertain, selected_share
from man_jax.config import Config, ConfigError
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
from man_jax.memories.centres import cluster_centres
from man_jax.method_parts.two_students import TEACHERS, follow_pair, pass_pair, renew_columns, start_pair
from man_jax.objectives.mutual_teaching import (
    PAIR,
    mean_answer,
    mean_direction,
    mutual_factors,
    mutual_terms,
)

NEEDS = ("views",)

KEYS = {
    "first_share": Key(
        0.3,
        "p0, share of the samples that the first epoch selects; source's code: 0.3 or 0.2",
        least=0.01,
        largest=1,
    ),
    "bend": Key(1.5, "h, how fast the share grows at first; source's code", least=0.01, largest=100),
    "scale": Key(20.0, "α, factor of the similarities in the softmax; source's code", least=1e-6),
    "peak": Key(
        0.99,
        "ε, probability of its own cluster for an ideal sample; source's code",
        least=0.01,
        largest=0.9999,
    ),
    "alpha": Key(0.999, "of the teachers' moving average, at most; source's code", least=0, largest=1),
    "soft_identity": Key(
        0.5, "share of the soft cross-entropy, beside the hard one; source's code", least=0, largest=1
    ),
    "soft_triplet": Key(
        0.8, "share of the soft triplet, beside the hard one; source's code", least=0, largest=1
    ),
    "head_norm": Key(
        "unit", "of new target columns: 1 (source), or the source's mean norm", ("unit", "matched")
    ),
}


def networks(config: Config) -> tuple[Network, ...]:
    """Give the places of both teachers; the first one is tested."""
    del config
    return TEACHERS


def capacity(config: Config, num_triples: int) -> int:
    """Give the number of clusters, k of K-means.

    Raises:
        ConfigError: the first epoch selects fewer samples than a batch has clusters.
    """
    share, wanted = config.p2lr.first_share, config.batch.identities
    if config.adapt.labels != "truth" and share * num_triples < wanted:
        raise ConfigError(
            f"config.p2lr.first_share is {share}, which selects {int(share * num_triples)} of the target's "
            f"{num_triples} training triples, but config.batch.identities is {wanted}; raise the one or lower the other"
        )
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
    """Cluster the mean of both teachers' fused features; the second column has the clusters of all samples.

    In the first column only the least uncertain samples have their cluster. The others are not drawn.
    """
    del state, cameras
    own, adapt = frame.config.p2lr, frame.config.adapt
    mean = mean_direction([table.fused for table in features])
    (clusters,) = cluster_tables([mean], **kmeans_settings(frame.config, epoch))
    centres, _ = cluster_centres(jnp.asarray(mean), jnp.asarray(clusters), num_classes=adapt.num_clusters)
    uncertainty = label_uncertainty(mean, np.asarray(centres), clusters, scale=own.scale, peak=own.peak)
    share = selected_share(epoch / max(adapt.epochs - 1, 1), first=own.first_share, bend=own.bend)
    kept = least_uncertain(uncertainty, share=share)
    labels = np.stack([np.where(kept, clusters, -1), clusters], axis=1).astype(np.int32)
    return Labels(labels, kept.astype(np.float32), adapt.num_clusters, clusterings={"F": clusters})


def begin_epoch(
    frame: Frame,
    state: TrainState,
    features: EpochFeatures,
    labels: ByDomain[Labels],
) -> TrainState:
    """Give the heads of all four networks the centres of whole clusters as columns, selected or not."""
    target, norm = labels.target, frame.config.p2lr.head_norm
    clusters = target.labels[:, -1]
    known = {"clusters": clusters, "mask": clusters >= 0}
    return renew_columns(frame, state, features, target, **known, norm=norm)


def loss(
    frame: Frame,
    params: dict[str, Any],
    state: TrainState,
    source: Batch | None,
    target: Batch,
    key: PRNGKeyArray,
) -> tuple[Float[Array, ""], Change]:
    """Compute each student's loss from the labels and from the mean of both teachers, and sum both losses."""
    passed = pass_pair(frame, params, state, source, target, key)
    terms = mutual_terms(
        {name: (outputs.source, outputs.target) for name, outputs in passed.students.items()},
        dict.fromkeys(PAIR, mean_answer([each.target for each in passed.taught.values()])),
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
    return follow_pair(state, alpha=frame.config.p2lr.alpha)


def weights(config: Config) -> dict[str, float]:
    """Give the factors of the target's hard and soft terms; the terms of the source have the factor 1."""
    own = config.p2lr
    return mutual_factors(soft_identity=own.soft_identity, soft_triplet=own.soft_triplet)
