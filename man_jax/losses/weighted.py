"""Average over samples that have different weights."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def weighted_mean(x: Float[Array, " B"], weight: Float[Array, " B"]) -> Float[Array, ""]:
    """Average values by their weights.

        Σ w x / Σ w,   w ≥ 0;   0 if all weights are 0

    A value of weight 0 may be infinite.
    """
    total = jnp.sum(weight * jnp.where(weight > 0, x, 0.0))
    weights = weight.sum()
    return jnp.where(weights > 0, total / jnp.where(weights > 0, weights, 1.0), 0.0)
