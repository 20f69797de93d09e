"""Cluster the target as most methods do, by keys that they share: K-means, or DBSCAN on Jaccard distances.

`own` is the part of the configuration with a method's keys: `clusters` (kmeans or dbscan), and for DBSCAN `eps`,
`min_samples`, `k1`, `k2` and `capacity`.
"""

import numpy as np
from jaxtyping import Float, Int32

from man_jax.clustering.density import density_clusters
from man_jax.clustering.kmeans import cluster_tables
from man_jax.config import Config
from man_jax.frame import Frame, Labels, kmeans_settings


def most_clusters(config: Config, own: Config, num_triples: int) -> int:
    """Give the largest number of clusters that an epoch may have."""
    if own.clusters == "kmeans":
        return config.adapt.num_clusters
    return own.capacity or max(1, num_triples // own.min_samples)


def cluster_rows(
    frame: Frame, own: Config, rows: Float[np.ndarray, "N D"], epoch: int
) -> Int32[np.ndarray, " N"]:
    """Cluster unit rows; a sample in no cluster has label −1."""
    if own.clusters == "kmeans":
        (labels,) = cluster_tables([rows], **kmeans_settings(frame.config, epoch))
        return labels
    search = {"k1": own.k1, "k2": own.k2, "eps": own.eps, "min_samples": own.min_samples}
    return density_clusters(rows, **search, most=frame.space.capacity)


def plain_labels(own: Config, labels: Int32[np.ndarray, " N"]) -> Labels:
    """Give clusters of the fusion as labels of an epoch; samples in no cluster have weight 0."""
    return Labels(
        labels[:, None],
        (labels >= 0).astype(np.float32),
        int(labels.max(initial=-1)) + 1,
        clusterings={"F": labels},
        estimated=own.clusters != "kmeans",
    )
