"""How fast an epoch's clusterings are: python -m benchmarks.clusterings_speed [--set RGBNT100].

Drawn features of three modalities, 3 x 2,048 fused, as in clustering_cost. It times

- K-means of R, N, T and F beside that of F alone, which is as wide as the three others together;
- the other clusterings of all four, beside K-means;
- average linkage and DBSCAN of Jaccard distances that are there, beside scikit-learn's, whose clusters have to be the
  same.

The sets are the sizes of the real ones, of which a round takes many minutes on two cores.
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from sklearn.cluster import DBSCAN, AgglomerativeClustering

from benchmarks.clustering_cost import KINDS, SETTINGS, drawn_features
from benchmarks.clustering_cost import SETS as REAL_SETS
from benchmarks.turns import report, take_turns
from man_jax.clustering.dbscan import dbscan
from man_jax.clustering.jaccard import jaccard_distances
from man_jax.clustering.kmeans import cluster_tables
from man_jax.clustering.linkage import average_linkage, cut_into
from man_jax.clustering.target_clusters import cluster_by_neighbours

SETS = {"small": (1024, 50), **REAL_SETS}
"""Triples and identities."""


def compare_tables(name: str, modal: np.ndarray, fused: np.ndarray, num_clusters: int, rounds: int) -> None:
    """Time K-means of one table and of four, and the other clusterings of four."""
    of_kmeans: Any = {"num_clusters": num_clusters, "key": jax.random.key(0)}
    room: Any = {"num_clusters": num_clusters, "most": len(fused) // SETTINGS["min_samples"]}
    four = partial(cluster_tables, [*modal, fused], **of_kmeans)
    one = {"F": partial(cluster_tables, [fused], **of_kmeans), "R, N, T and F": four}
    report(f"K-means of an epoch, {name}", take_turns(one, rounds=rounds), ours="F")
    kinds: dict[str, Callable[[], Any]] = {"kmeans": four}
    for kind, settings in KINDS.items():
        if settings:
            kinds[kind] = partial(cluster_by_neighbours, modal, fused, **room, **SETTINGS | settings)
    report(f"clusterings of an epoch, {name}", take_turns(kinds, rounds=rounds, warm=0), ours="kmeans")


def compare_distances(name: str, distances: np.ndarray, num_clusters: int, rounds: int) -> None:
    """Time the clusterings of given distances beside scikit-learn's, and check that the clusters are the same."""
    eps, least = SETTINGS["eps"], SETTINGS["min_samples"]
    linkage = AgglomerativeClustering(num_clusters, metric="precomputed", linkage="average")
    pairs = {
        "average linkage": (
            lambda: cut_into(average_linkage(distances), num_clusters),
            lambda: linkage.fit_predict(distances),
        ),
        "DBSCAN": (
            lambda: dbscan(distances, eps=eps, min_samples=least),
            lambda: DBSCAN(eps=eps, min_samples=least, metric="precomputed").fit_predict(distances),
        ),
    }
    for kind, (ours, theirs) in pairs.items():
        if not _is_same(ours(), theirs()):
            raise SystemExit(f"{kind}: scikit-learn has other clusters")
        seconds = take_turns({"ours": ours, "scikit-learn": theirs}, rounds=rounds, warm=0)
        report(f"{kind} of given distances, {name}", seconds, ours="ours")


def _is_same(one: np.ndarray, other: np.ndarray) -> bool:
    """Tell whether two clusterings differ by the numbers of their clusters only."""
    pairs = {*zip(one.tolist(), other.tolist(), strict=True)}
    return len(pairs) == len({*one.tolist()}) == len({*other.tolist()})


def main(flags: argparse.Namespace) -> None:
    """Draw the features, and time all clusterings."""
    num_triples, num_identities = flags.size or SETS[flags.set]
    modal, fused, _ = drawn_features(num_triples, num_identities)
    name = f"{num_triples} x {fused.shape[1]}, k {num_identities}"
    compare_tables(name, modal, fused, num_identities, flags.rounds)
    distances = jaccard_distances(fused, k1=SETTINGS["k1"], k2=SETTINGS["k2"])
    compare_distances(name, distances, num_identities, flags.rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", choices=SETS, default="small")
    parser.add_argument("--size", type=int, nargs=2, metavar=("TRIPLES", "CLUSTERS"), help="another size")
    parser.add_argument("--rounds", type=int, default=3)
    main(parser.parse_args())
