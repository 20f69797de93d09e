"""Cluster a target's modalities and their fusion by what neighbours their samples have (on the host)."""

from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int32

from man_jax.clustering.consensus import consensus_distances
from man_jax.clustering.dbscan import dbscan
from man_jax.clustering.jaccard import jaccard_distances
from man_jax.clustering.linkage import average_linkage, cut_at, cut_into, drop_small, estimate_num_clusters
from man_jax.clustering.sizes import keep_largest

Kind = Literal["linkage", "dbscan"]
Neighbours = Literal["fusion", "consensus"]
Count = Literal["given", "estimated", "cut"]


def is_number_given(clusters: Literal["kmeans"] | Kind, count: Count) -> bool:
    """Tell whether a clustering makes as many clusters as it is told; otherwise it finds their number itself."""
    return clusters == "kmeans" or (clusters == "linkage" and count == "given")


def cluster_by_neighbours(
    modal: Float[np.ndarray, "M N D"],
    fused: Float[np.ndarray, "N F"],
    *,
    clusters: Kind,
    neighbours: Neighbours,
    num_clusters: int,
    most: int,
    k1: int,
    k2: int,
    vote: float,
    with_modalities: bool = True,
    **settings,
) -> Int32[np.ndarray, "L N"]:
    """Cluster each modality and the fusion on their Jaccard distances; a sample in no cluster has −1.

    `neighbours` says whose neighbours decide in the last row, the fusion's: its own, or those on which the modalities
    agree (`consensus_distances`). `settings` and `num_clusters` are those of `cluster_distances`. The rows of the
    modalities may have other numbers of clusters than the fusion's, which has `most` at most. k1 and k2 are lowered
    where there are fewer samples. Without `with_modalities` the fusion's row is the only one: for labels that no
    modality decides, since each row takes seconds at full size.

    One matrix of distances is held at a time.
    """
    k1 = min(k1, len(fused))
    counts: Any = {"k1": k1, "k2": min(k2, k1)}
    known = {"clusters": clusters, "num_clusters": num_clusters, **settings}
    clustered = modal if with_modalities else ()
    rows = [cluster_distances(jaccard_distances(table, **counts), **known) for table in clustered]
    if neighbours == "consensus":
        distances = consensus_distances(list(modal), fused, vote=vote, **counts)
    elif neighbours == "fusion":
        distances = jaccard_distances(fused, **counts)
    else:
        raise ValueError(f"neighbours is {neighbours!r}; choose fusion or consensus")
    rows.append(keep_largest(cluster_distances(distances, most=most, **known), most=most))
    return np.stack(rows)


def cluster_distances(
    distances: Float[np.ndarray, "N N"],
    *,
    clusters: Kind,
    count: Count,
    num_clusters: int,
    eps: float,
    min_samples: int,
    cut: float,
    most: int | None = None,
) -> Int32[np.ndarray, " N"]:
    """Cluster samples by their distances: `dbscan` (`eps`, `min_samples`), or average `linkage`.

    The tree of average linkage has, by `count`,

    - `given`: `num_clusters` clusters;
    - `estimated`: as many clusters as have `min_samples` samples or more when it is cut at the distance `cut`, and
      `most` at most;
    - `cut`: those clusters; the samples of smaller ones are in no cluster.
    """
    if clusters == "dbscan":
        return dbscan(distances, eps=eps, min_samples=min_samples)
    if clusters != "linkage":
        raise ValueError(f"clusters is {clusters!r}; choose linkage or dbscan")
    tree = average_linkage(distances)
    if count == "given":
        return cut_into(tree, num_clusters)
    if count == "cut":
        return drop_small(cut_at(tree, cut), least=min_samples)
    if count != "estimated":
        raise ValueError(f"count is {count!r}; choose given, estimated or cut")
    estimate = estimate_num_clusters(tree, distance=cut, least=min_samples)
    return cut_into(tree, estimate if most is None else min(estimate, most))
