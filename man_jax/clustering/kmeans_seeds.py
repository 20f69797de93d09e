"""Seed K-means by greedy k-means++, with several seeds of one reading of the samples."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32, PRNGKeyArray

from man_jax.layout import Layout

PRECISION = jax.lax.Precision.HIGHEST
"""Of similarities: 1 − cos cancels their first digits, and an accelerator's own precision has three or four of them."""
SEEDS_AT_ONCE = 10
"""One product with all samples, which are read from memory for it, serves so many; and each is the best of more."""


def seed_centres(
    rows: Float[Array, "P D"],
    real: Bool[Array, " P"],
    key: PRNGKeyArray,
    *,
    num_samples: int,
    num_clusters: int,
    layout: Layout,
) -> Float[Array, "K D"]:
    """Choose unit vectors as first centres, far from each other where samples are many.

    A round draws candidates in proportion to the distance 1 − cos to the nearest seed, without replacement, and
    chooses some of them as seeds, one after the other: each time the one that leaves the least Σ of distances.
    There are 2 + ln K candidates for each seed, as in scikit-learn, but a seed may be any candidate of its round.

    Args:
        rows: the samples, and after them rows of padding where their number has to be a multiple.
        real: which rows are samples.

    Source: Arthur & Vassilvitskii, "k-means++", SODA 2007.
    Differs from the source: seeds of one round are drawn with the distances from before it, and are the best of all its
    candidates; the clusters' inertia is as low or lower than with one seed a round (docs/MEASUREMENTS.md).
    """
    candidates_of_one = 2 + int(math.log(num_clusters)) if num_clusters > 1 else 1
    # Distances to the candidates must not take more memory than the samples.
    at_once = max(1, min(SEEDS_AT_ONCE, rows.shape[1] // candidates_of_one))
    num_candidates = min(at_once * candidates_of_one, num_samples)
    first_key, key = jax.random.split(key)
    # A list of one, because a row that one number names would be cut out of all rows, gathered.
    first = layout.everywhere(rows[jax.random.randint(first_key, (1,), 0, num_samples)])[0]

    def add_seeds(of_round, carry):
        nearest = carry[1]
        # Where every sample already lies on a centre, any sample is as good as another.
        weights = jnp.where(real, jnp.where(jnp.sum(nearest, where=real) > 0, nearest, 1.0), 0.0)
        key_of_round = jax.random.fold_in(key, of_round)
        drawn = draw_without_replacement(weights, key_of_round, num_samples, num_candidates, layout)
        candidates = layout.everywhere(rows[drawn])
        distances = jnp.maximum(0.0, 1.0 - jnp.matmul(candidates, rows.T, precision=PRECISION))

        def add_best(place, carry):
            centres, nearest = carry
            remaining = jnp.minimum(nearest[None, :], distances)
            best = jnp.argmin(jnp.sum(remaining, axis=1, where=real[None, :]))
            index = 1 + of_round * at_once + place  # of the last round, some are beyond the last centre
            nearest = jnp.minimum(nearest, distances[best])
            return centres.at[index].set(candidates[best], mode="drop"), nearest

        return jax.lax.fori_loop(0, at_once, add_best, carry)

    centres = jnp.zeros((num_clusters, rows.shape[1]), rows.dtype).at[0].set(first)
    num_rounds = -(-(num_clusters - 1) // at_once)
    to_first = jnp.maximum(0.0, 1.0 - jnp.matmul(rows, first, precision=PRECISION))
    centres, _ = jax.lax.fori_loop(0, num_rounds, add_seeds, (centres, to_first))
    return centres


def draw_without_replacement(
    weights: Float[Array, " P"], key: PRNGKeyArray, num_samples: int, number: int, layout: Layout
) -> Int32[Array, " L"]:
    """Draw samples in proportion to their weights, each at most once, by the greatest of log w + Gumbel noise.

    Samples without weight come last, and then padding, which comes after all samples and so is never drawn.
    """
    noise = jax.random.gumbel(key, (num_samples,), weights.dtype)
    noise = layout.divided(jnp.pad(noise, (0, weights.shape[0] - num_samples)))
    _, drawn = jax.lax.top_k(layout.everywhere(jnp.log(weights) + noise), number)
    return drawn
