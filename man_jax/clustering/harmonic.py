"""Harmonic discrepancy clustering: K clusters from the distances of samples and their confidence (on the host).

Source: Zheng et al., "3C: confidence-guided clustering and contrastive learning for unsupervised person
re-identification", arXiv 2408.09464, 2024.
"""

import numpy as np
from jaxtyping import Complex64, Float, Int, Int32

from man_jax.clustering.sizes import OUTLIER

MAX_ITERATIONS, MIN_ITERATIONS, PATIENCE = 80, 10, 4
"""The first limit is that of iterations; after the second, so many without progress are the last."""
ALPHA = 1.9
"""The angle of the Euler distance, in units of π."""
STEEPNESS = 5.0
"""How fast the confidence falls with the distance to a centre."""
SMALL = 5
"""A cluster of fewer members gives none of them to an empty one, if it can be helped."""
FARTHEST = float(1.0 - np.exp(-1.0))
"""The discrepancy of two samples at the Jaccard distance 1."""
BLOCK_ENTRIES = 4_000_000


def harmonic_clusters(
    features: Float[np.ndarray, "N D"],
    distances: Float[np.ndarray, "N N"],
    *,
    num_clusters: int,
    rng: np.random.Generator,
) -> Int32[np.ndarray, " N"]:
    """Make K clusters of samples from their features and distances in [0, 1]; a peripheral member gets −1.

        D(i, j) = 1 − exp(−d(i, j)),   C(j, c) = exp(−5 e(j, c) / max e),   e the Euler distance to centre c
        HD(i, c) = D(i, j*),           j* the member of c with the largest D(i, j) C(j, c) / (D(i, j) + C(j, c))

    Each iteration gives a sample to the cluster of the smallest HD, fills empty clusters with the samples that fit
    their own least, and moves a centre to the mean of its members that are not peripheral. A member is peripheral if
    its HD is above the mean of the cluster's by more than one standard deviation. The seeds are those of greedy
    k-means++ on the distances.

    It takes 4 N² bytes besides the distances, and 8 N D bytes.

    Raises:
        ValueError: 1 <= num_clusters <= N does not hold.

    Differs from the source: a cluster never loses its last member to an empty one (its code may not end then), and an
    empty cluster counts as far from all.
    """
    num_samples = len(features)
    if not 1 <= num_clusters <= num_samples:
        raise ValueError(
            f"num_clusters is {num_clusters}, but there are {num_samples} samples to cluster; "
            f"choose 1 <= num_clusters <= {num_samples} (config.adapt.num_clusters)"
        )
    seeds = draw_seeds(distances, num_clusters, rng)
    labels = np.argmin(distances[:, seeds], axis=1).astype(np.int32)
    centres = features[seeds]
    discrepancies = 1.0 - np.exp(-distances)
    angles = euler_angles(features)
    inner, least, waited = labels, np.inf, 0
    for iteration in range(MAX_ITERATIONS):
        confidence = confidence_of(angles, euler_angles(centres))
        to_clusters = discrepancies_to_clusters(discrepancies, confidence, labels)
        labels = fill_empty(to_clusters, np.argmin(to_clusters, axis=1).astype(np.int32))
        inner = without_peripheral(labels, to_clusters[np.arange(num_samples), labels])
        moved = _means(features, inner, num_clusters)
        shift = float(np.sum((moved - centres) ** 2))
        centres = moved
        if iteration >= MIN_ITERATIONS:
            waited = 0 if shift < least else waited + 1
            least = min(least, shift)
        if shift == 0 or waited > PATIENCE:
            break
    return inner


def draw_seeds(
    distances: Float[np.ndarray, "N N"], num_clusters: int, rng: np.random.Generator
) -> Int[np.ndarray, " K"]:
    """Draw samples as seeds by greedy k-means++, in proportion to the distance to the nearest seed."""
    num_candidates = 2 + int(np.log(num_clusters))
    seeds = [int(rng.integers(len(distances)))]
    nearest = distances[seeds[0]]
    while len(seeds) < num_clusters:
        reached = np.cumsum(nearest, dtype=np.float64)
        drawn = np.searchsorted(reached, rng.uniform(size=num_candidates) * reached[-1])
        drawn = np.minimum(drawn, len(distances) - 1)
        remaining = np.minimum(nearest, distances[drawn])
        chosen = int(np.argmin(remaining.sum(axis=1)))
        seeds.append(int(drawn[chosen]))
        nearest = remaining[chosen]
    return np.array(seeds)


def euler_angles(rows: Float[np.ndarray, "N D"]) -> Complex64[np.ndarray, "N D"]:
    """Turn each number x into exp(i α π x) / √2."""
    return (np.exp(1j * ALPHA * np.pi * rows) / np.sqrt(2)).astype(np.complex64)


def confidence_of(
    rows: Complex64[np.ndarray, "N D"], centres: Complex64[np.ndarray, "K D"]
) -> Float[np.ndarray, "N K"]:
    """Compute C(j, c) = exp(−5 e / max e), e = |Σ_d (x_d − c_d)²| of the Euler angles x and c."""
    squared = np.sum(rows * rows, axis=1)[:, None] + np.sum(centres * centres, axis=1)
    distance = np.abs(squared - 2 * rows @ centres.T)
    return np.exp(-STEEPNESS * distance / max(float(distance.max()), 1e-12))


def discrepancies_to_clusters(
    discrepancies: Float[np.ndarray, "N N"],
    confidence: Float[np.ndarray, "N K"],
    labels: Int[np.ndarray, " N"],
) -> Float[np.ndarray, "N K"]:
    """Compute HD(i, c) of each sample to each cluster; an empty cluster is as far as can be."""
    num_samples, num_clusters = confidence.shape
    own = confidence[np.arange(num_samples), labels]
    order = np.argsort(labels, kind="stable")
    present, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    result = np.full((num_samples, num_clusters), FARTHEST, discrepancies.dtype)
    height = max(1, BLOCK_ENTRIES // num_samples)
    for start in range(0, num_samples, height):
        rows = slice(start, start + height)
        to_members = discrepancies[rows][:, order]
        harmonic = to_members * own[order] / (to_members + own[order])
        largest = np.maximum.reduceat(harmonic, starts, axis=1)
        is_largest = harmonic == np.repeat(largest, counts, axis=1)
        places = np.where(is_largest, np.arange(num_samples), num_samples)
        first = np.minimum.reduceat(places, starts, axis=1)
        result[rows, present] = np.take_along_axis(to_members, first, axis=1)
    return result


def fill_empty(
    to_clusters: Float[np.ndarray, "N K"], labels: Int32[np.ndarray, " N"]
) -> Int32[np.ndarray, " N"]:
    """Give each empty cluster the sample that fits its own cluster least, by its HD to all the others.

    Members of clusters that are small before, of fewer than 5, are the last choice; the last member of a cluster is
    none.
    """
    num_samples, num_clusters = to_clusters.shape
    labels = labels.copy()
    counts = np.bincount(labels, minlength=num_clusters)
    own = to_clusters[np.arange(num_samples), labels]
    membership = (to_clusters.sum(axis=1) - own) / max(num_clusters - 1, 1)
    membership = np.where(counts[labels] < SMALL, np.inf, membership)
    movable = np.ones(num_samples, bool)
    for cluster in np.flatnonzero(counts == 0):
        candidates = np.flatnonzero(movable & (counts[labels] > 1))
        chosen = candidates[np.argmin(membership[candidates])]
        counts[labels[chosen]] -= 1
        counts[cluster] += 1
        labels[chosen], movable[chosen] = cluster, False
    return labels


def without_peripheral(
    labels: Int32[np.ndarray, " N"], own: Float[np.ndarray, " N"]
) -> Int32[np.ndarray, " N"]:
    """Make outliers, −1, of the members whose HD is above the cluster's mean by more than a standard deviation."""
    inner = labels.copy()
    for cluster in np.unique(labels):
        members = np.flatnonzero(labels == cluster)
        if len(members) > 1:
            limit = own[members].mean() + own[members].std(ddof=1)
            inner[members[own[members] > limit]] = OUTLIER
    return inner


def _means(
    features: Float[np.ndarray, "N D"], labels: Int[np.ndarray, " N"], num_clusters: int
) -> Float[np.ndarray, "K D"]:
    return np.stack([features[labels == cluster].mean(axis=0) for cluster in range(num_clusters)])
