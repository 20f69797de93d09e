"""Average over samples that have different weights."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from man_jax.array_math import masked_mean


def weighted_mean(x: Float[Array, " B"], weight: Float[Array, " B"]) -> Float[Array, ""]:
    """Average values by their weights.

        Σ w x / Σ w,   w ≥ 0;   0 if all weights are 0

    A value of weight 0 may be infinite.
    """
    total = jnp.sum(weight * jnp.where(weight > 0, x, 0.0))
    weights = weight.sum()
    return jnp.where(weights > 0, total / jnp.where(weights > 0, weights, 1.0), 0.0)


def mean_of(
    x: Float[Array, " B"], mask: Bool[Array, " B"], weight: Float[Array, " B"] | None
) -> Float[Array, ""]:
    """Average the values that the mask admits, by their weights if there are any; 0 if there is none."""
    if weight is None:
        return masked_mean(x, mask)
    return weighted_mean(x, jnp.where(mask, weight, 0.0))
