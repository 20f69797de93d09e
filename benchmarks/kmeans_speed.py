"""How fast K-means is, beside scikit-learn and faiss: python -m benchmarks.kmeans_speed [--set RGBNT100].

Drawn unit features around as many directions as there are clusters. All start from one seeding of their own, another
one at each turn, and go on for at most 100 rounds; scikit-learn's and faiss's own default ends apply otherwise. The
mean inertia, Σ (1 − cosine), is given, because a quicker clustering that is worse is no gain: faiss seeds at random,
which is quick, so it takes turns a second time with as many seedings (`nredo`) as it needs for a mean inertia at most
0.1 % above ours, or with 8.
The sets are the sizes of the real ones with three modalities of a ResNet-50; minutes on two cores.
"""

import argparse
import importlib.util
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.cluster import KMeans

from benchmarks.clustering_cost import SETS as REAL_SETS
from benchmarks.reranking_cost import drawn
from benchmarks.turns import report, take_turns
from man_jax.clustering.kmeans import kmeans

SETS = {
    "small": (2048, 1024, 50),
    **{name: (samples, 6144, clusters) for name, (samples, clusters) in REAL_SETS.items()},
}
"""Samples, width of the fused features, clusters."""
ROUNDS, SEEDINGS, TOLERATED = 100, (1, 2, 4, 8), 1e-3


def inertia(features: np.ndarray, labels: np.ndarray) -> float:
    """Compute Σ (1 − cosine) between the samples and the directions of their clusters."""
    sums = np.zeros((labels.max() + 1, features.shape[1]), np.float32)
    np.add.at(sums, labels, features)
    sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return float(np.sum(1 - np.einsum("nd,nd->n", features, sums[labels])))


def ours(features: jax.Array, num_clusters: int, seed: int) -> np.ndarray:
    """Cluster by our K-means, from one seeding."""
    return np.asarray(kmeans(features, num_clusters=num_clusters, key=jax.random.key(seed)).labels)


def of_scikit_learn(features: np.ndarray, num_clusters: int, seed: int) -> np.ndarray:
    """Cluster by scikit-learn, from one seeding."""
    return KMeans(num_clusters, n_init=1, max_iter=ROUNDS, random_state=seed).fit_predict(features)


def of_faiss(features: np.ndarray, num_clusters: int, seed: int, seedings: int = 1) -> np.ndarray:
    """Cluster by faiss, and give the labels of the best of so many seedings."""
    import faiss

    kmeans = faiss.Kmeans(
        features.shape[1],
        num_clusters,
        niter=ROUNDS,
        nredo=seedings,
        spherical=True,
        seed=seed,
        max_points_per_centroid=10**9,
    )
    kmeans.train(features)
    return kmeans.index.search(features, 1)[1][:, 0]


def mean_inertia(cluster: Callable[[int], np.ndarray], features: np.ndarray, rounds: int) -> float:
    """Compute the mean inertia of the clusterings of the first seeds."""
    return float(np.mean([inertia(features, cluster(seed)) for seed in range(rounds)]))


def seedings_needed(features: np.ndarray, num_clusters: int, enough: float, rounds: int) -> int:
    """Give the least number of faiss's seedings, 1, 2, 4 or 8, that has the mean inertia `enough`, or else 8."""
    for seedings in SEEDINGS:
        cluster = partial(of_faiss, features, num_clusters, seedings=seedings)
        if mean_inertia(cluster, features, rounds) <= enough:
            return seedings
    return SEEDINGS[-1]


def main(flags: argparse.Namespace) -> None:
    """Time all ways, each turn from another seed, and report their times and mean inertias."""
    num_samples, dim, num_clusters = flags.size or SETS[flags.set]
    features = drawn(num_samples, dim, num_clusters)
    ways: dict[str, Callable[[int], np.ndarray]] = {
        "ours": partial(ours, jnp.asarray(features), num_clusters)
    }
    if not flags.alone:
        ways["scikit-learn"] = partial(of_scikit_learn, features, num_clusters)
    if not flags.alone and importlib.util.find_spec("faiss"):
        enough = (1 + TOLERATED) * mean_inertia(ways["ours"], features, flags.rounds)
        ways["faiss"] = partial(of_faiss, features, num_clusters)
        if (seedings := seedings_needed(features, num_clusters, enough, flags.rounds)) > 1:
            ways[f"faiss, {seedings} seedings"] = partial(of_faiss, features, num_clusters, seedings=seedings)
    found: dict[str, list[np.ndarray]] = {name: [] for name in ways}

    def keep(name: str) -> None:
        found[name].append(ways[name](len(found[name])))

    seconds = take_turns({name: partial(keep, name) for name in ways}, rounds=flags.rounds)
    subject = f"K-means, {num_samples} x {dim}, k {num_clusters}"
    inertias = {
        name: round(float(np.mean([inertia(features, labels) for labels in of_way[: flags.rounds]])), 2)
        for name, of_way in found.items()
    }
    report(subject, seconds, ours="ours", inertia=inertias)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", choices=SETS, default="small")
    parser.add_argument(
        "--size", type=int, nargs=3, metavar=("SAMPLES", "DIM", "CLUSTERS"), help="another size"
    )
    parser.add_argument("--alone", action="store_true", help="ours only")
    parser.add_argument("--rounds", type=int, default=3)
    main(parser.parse_args())
