"""Spherical K-means on the device, in blocks of samples (Eq. 1 and 3: the KM of the paper)."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, PRNGKeyArray

from man_jax.array_math import unit
from man_jax.clustering.divided_kmeans import divided_kmeans, restart_empty
from man_jax.layout import WHOLE, Layout


class KMeansResult(NamedTuple):
    """A clustering of N unit vectors into K clusters."""

    labels: Int32[Array, " N"]
    centres: Float[Array, "K D"]
    inertia: Float[Array, ""]
    """Σ over samples of 1 − cos(sample, its centre), which is half the squared Euclidean distance."""
    iterations: Int32[Array, ""]


def kmeans(
    features: Float[Array | np.ndarray, "N D"],
    *,
    num_clusters: int,
    key: PRNGKeyArray,
    num_init: int = 1,
    max_iterations: int = 100,
    tolerance: float = 1e-6,
    block_size: int = 1024,
    layout: Layout = WHOLE,
) -> KMeansResult:
    """Cluster unit vectors by cosine similarity: greedy k-means++ seeding, then Lloyd's iterations.

    Clusters that lose all their samples restart from the samples farthest from their own centres. An
    iteration that moves the centres by less than `tolerance` (mean squared) is the last. The best of
    `num_init` seedings by inertia is returned. No array is larger than N × D or block_size × K. With a layout that
    divides rows, each device clusters its part of them, with the same draws; only sums are rounded otherwise.

    Raises ValueError if there are fewer samples than clusters.

    Source: Eq. 1, 3; Arthur & Vassilvitskii, "k-means++", SODA 2007 (greedy variant as in scikit-learn).
    Differs from the paper: the paper does not say which K-means; ours is spherical, because retrieval compares by
    cosine.
    """
    num_samples = features.shape[0]
    if not 1 <= num_clusters <= num_samples:
        raise ValueError(
            f"num_clusters is {num_clusters}, but there are {num_samples} samples to cluster; "
            f"choose 1 <= num_clusters <= {num_samples} (config.adapt.num_clusters)"
        )
    settings: dict[str, Any] = {
        "num_clusters": num_clusters,
        "max_iterations": max_iterations,
        "tolerance": tolerance,
        "block_size": min(block_size, num_samples),
    }
    keys = jax.random.split(key, num_init)
    if layout.is_divided:
        return KMeansResult(*divided_kmeans(np.asarray(features), keys, **settings, layout=layout))
    return _best_clustering(jnp.asarray(features), keys, **settings)


def cluster_tables(
    tables: Sequence[Float[np.ndarray, "N D"]], *, num_clusters: int, key: PRNGKeyArray, **settings
) -> Int32[np.ndarray, "L N"]:
    """Cluster each table on its own (Eq. 1–3), e.g. those of R, N, T and F; `settings` are those of `kmeans`."""
    keys = jax.random.split(key, len(tables))
    results = [
        kmeans(table, num_clusters=num_clusters, key=each, **settings)
        for table, each in zip(tables, keys, strict=True)
    ]
    return np.stack([np.asarray(result.labels) for result in results])


@partial(jax.jit, static_argnames=("num_clusters", "max_iterations", "block_size"))
def _best_clustering(features, keys, *, num_clusters, max_iterations, tolerance, block_size) -> KMeansResult:
    num_samples, dim = features.shape
    padding = -num_samples % block_size
    rows = jnp.pad(features, ((0, padding), (0, 0)))
    real = jnp.arange(num_samples + padding) < num_samples
    blocks = (rows.reshape(-1, block_size, dim), real.reshape(-1, block_size))

    def cluster(key: PRNGKeyArray) -> KMeansResult:
        centres = _seed(features, key, num_clusters=num_clusters)
        return _lloyd(blocks, centres, num_samples, max_iterations=max_iterations, tolerance=tolerance)

    results = jax.lax.map(cluster, keys)
    best = jnp.argmin(results.inertia)
    return jax.tree.map(lambda leaf: leaf[best], results)


def _seed(features: Float[Array, "N D"], key: PRNGKeyArray, *, num_clusters: int) -> Float[Array, "K D"]:
    """Seed by greedy k-means++: of a few candidates drawn ∝ squared distance, keep the one that leaves least."""
    num_samples = features.shape[0]
    num_candidates = 2 + int(math.log(num_clusters)) if num_clusters > 1 else 1
    first_key, key = jax.random.split(key)
    first = features[jax.random.randint(first_key, (), 0, num_samples)]

    def distance_to(candidates: Float[Array, "L D"]) -> Float[Array, "L N"]:
        return jnp.maximum(0.0, 1.0 - candidates @ features.T)

    def add_centre(i, carry):
        centres, nearest = carry
        # Where every sample already lies on a centre, any sample is as good as another.
        weights = jnp.where(nearest.sum() > 0, nearest, jnp.ones_like(nearest))
        drawn = jax.random.categorical(jax.random.fold_in(key, i), jnp.log(weights), shape=(num_candidates,))
        remaining = jnp.minimum(nearest[None, :], distance_to(features[drawn]))
        chosen = jnp.argmin(remaining.sum(axis=1))
        return centres.at[i].set(features[drawn[chosen]]), remaining[chosen]

    centres = jnp.zeros((num_clusters, features.shape[1]), features.dtype).at[0].set(first)
    centres, _ = jax.lax.fori_loop(1, num_clusters, add_centre, (centres, distance_to(first[None])[0]))
    return centres


def _lloyd(blocks, centres, num_samples: int, *, max_iterations: int, tolerance) -> KMeansResult:
    def shifted(carry) -> Bool[Array, ""]:
        _, shift, iteration = carry
        return (shift > tolerance) & (iteration < max_iterations)

    def iterate(carry):
        centres, _, iteration = carry
        _, similarity, sums, counts = _assign(blocks, centres)
        moved = restart_empty(unit(sums), counts, blocks[0].reshape(-1, centres.shape[1]), similarity)
        return moved, jnp.mean(jnp.sum((moved - centres) ** 2, axis=1)), iteration + 1

    start = (centres, jnp.array(jnp.inf, centres.dtype), jnp.int32(0))
    centres, _, iterations = jax.lax.while_loop(shifted, iterate, start)
    labels, similarity, _, _ = _assign(blocks, centres)
    inertia = jnp.sum(1.0 - similarity[:num_samples])
    return KMeansResult(labels[:num_samples], centres, inertia, iterations)


def _assign(blocks, centres: Float[Array, "K D"]):
    """Find the nearest centre of every row, block by block, and the sum and count of each cluster's rows."""
    num_clusters = centres.shape[0]

    def assign_block(carry, block):
        sums, counts = carry
        rows, real = block
        similarity = rows @ centres.T
        labels = jnp.argmax(similarity, axis=1).astype(jnp.int32)
        members = jax.nn.one_hot(labels, num_clusters, dtype=rows.dtype) * real[:, None]
        # A padding row is infinitely near its centre, so it is never chosen to restart a cluster.
        nearest = jnp.where(real, jnp.max(similarity, axis=1), jnp.inf)
        return (sums + members.T @ rows, counts + members.sum(axis=0)), (labels, nearest)

    start = (jnp.zeros_like(centres), jnp.zeros(num_clusters, centres.dtype))
    (sums, counts), (labels, similarity) = jax.lax.scan(assign_block, start, blocks)
    return labels.reshape(-1), similarity.reshape(-1), sums, counts
