"""How fast K-means is, beside scikit-learn and faiss: python -m benchmarks.kmeans_speed [--samples 8675 --clusters 50].

Drawn unit features around as many directions as there are clusters. All start from one seeding of their own and go on
for at most 100 rounds; scikit-learn's and faiss's own default ends apply otherwise. The inertia, Σ (1 − cosine), is
given, because a quicker clustering that is worse is no gain.
"""

import argparse
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.cluster import KMeans

from benchmarks.reranking_cost import drawn
from benchmarks.turns import report, take_turns
from man_jax.clustering.kmeans import kmeans

ROUNDS = 100


def inertia(features: np.ndarray, labels: np.ndarray) -> float:
    """Compute Σ (1 − cosine) between the samples and the directions of their clusters."""
    sums = np.zeros((labels.max() + 1, features.shape[1]), np.float32)
    np.add.at(sums, labels, features)
    sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return float(np.sum(1 - np.einsum("nd,nd->n", features, sums[labels])))


def main(flags: argparse.Namespace) -> None:
    """Time the three, and report their times and inertias."""
    features = drawn(flags.samples, flags.dim, flags.clusters)
    placed = jnp.asarray(features)
    found = {}

    def ours():
        found["ours"] = np.asarray(kmeans(placed, num_clusters=flags.clusters, key=jax.random.key(0)).labels)

    def theirs():
        found["scikit-learn"] = KMeans(flags.clusters, n_init=1, max_iter=ROUNDS, random_state=0).fit_predict(
            features
        )

    def of_faiss():
        import faiss

        each = faiss.Kmeans(
            flags.dim, flags.clusters, niter=ROUNDS, spherical=True, seed=0, max_points_per_centroid=10**9
        )
        each.train(features)
        found["faiss"] = each.index.search(features, 1)[1][:, 0]

    ways = {"ours": ours}
    if not flags.alone:
        ways["scikit-learn"] = theirs
        if importlib.util.find_spec("faiss"):
            ways["faiss, 100 rounds"] = of_faiss
    seconds = take_turns(ways, rounds=flags.rounds)
    subject = f"K-means, {flags.samples} x {flags.dim}, k {flags.clusters}"
    inertias = {name: round(inertia(features, labels), 2) for name, labels in found.items()}
    report(subject, seconds, ours="ours", inertia=inertias)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=8675)
    parser.add_argument("--dim", type=int, default=6144)
    parser.add_argument("--clusters", type=int, default=50)
    parser.add_argument("--alone", action="store_true", help="ours only")
    parser.add_argument("--rounds", type=int, default=3)
    main(parser.parse_args())
