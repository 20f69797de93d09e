"""Find the hardest positive and the hardest negative of each row of a batch, and which rows they are."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from man_jax.array_math import squared_distances


class Triplets(NamedTuple):
    """Of each anchor: its distances (d_p, d_n), the rows p and n, and the weight, 0 where there is no triplet."""

    distances: Float[Array, "B 2"]
    rows: Int[Array, "B 2"]
    weight: Float[Array, " B"]


def find_hardest(
    features: Float[Array, "B D"], labels: Int[Array, " B"], weight: Float[Array, " B"] | None
) -> Triplets:
    """Find the farthest other row of the same label, p, and the nearest row of another, n, of each row.

    Distances are Euclidean. Rows of weight 0 or with a label below 0 take no part.
    """
    num_rows = labels.shape[0]
    weight = jnp.ones(num_rows, features.dtype) if weight is None else weight
    takes_part = (labels >= 0) & (weight > 0)
    others: Bool[Array, "B B"] = takes_part[None, :] & ~jnp.eye(num_rows, dtype=bool)
    same = labels[:, None] == labels[None, :]
    positives, negatives = same & others, ~same & others
    distances = pair_distances(features)
    farthest = jnp.argmax(jnp.where(positives, distances, -jnp.inf), axis=1)
    nearest = jnp.argmin(jnp.where(negatives, distances, jnp.inf), axis=1)
    rows = jnp.stack([farthest, nearest], axis=1)
    counts = takes_part & positives.any(axis=1) & negatives.any(axis=1)
    return Triplets(jnp.take_along_axis(distances, rows, axis=1), rows, jnp.where(counts, weight, 0.0))


def pair_distances(features: Float[Array, "B D"]) -> Float[Array, "B B"]:
    """Compute the Euclidean distances of all pairs of rows."""
    # The clamp keeps the gradient of the root finite where rows coincide.
    return jnp.sqrt(jnp.maximum(squared_distances(features, features), 1e-12))
