"""Unit vectors and distances, the arithmetic that every other room shares."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def unit(x: Float[Array, "... D"]) -> Float[Array, "... D"]:
    """Compute Unit(x) = x / max(‖x‖₂, 1e-12) over the last axis; a zero vector stays zero, with zero gradient."""
    squared = jnp.sum(x * x, axis=-1, keepdims=True)
    # Under the clamp x is scaled by 1e12, and the gradient of a zero vector would be as well.
    x = jnp.where(squared > 0.0, x, 0.0)
    # rsqrt of a clamped sum: the gradient of ‖x‖ at 0 would be NaN.
    return x * jax.lax.rsqrt(jnp.maximum(squared, 1e-24))


def squared_distances(x: Float[Array, "... B D"], y: Float[Array, "... C D"]) -> Float[Array, "... B C"]:
    """Compute ‖x_i − y_j‖² ≥ 0 of all pairs of rows, by one matrix product."""
    x_squared = jnp.sum(x * x, axis=-1)[..., :, None]
    y_squared = jnp.sum(y * y, axis=-1)[..., None, :]
    return jnp.maximum(x_squared + y_squared - 2.0 * (x @ jnp.swapaxes(y, -1, -2)), 0.0)


def masked_mean(x: Float[Array, "..."], mask) -> Float[Array, ""]:
    """Compute the mean of the entries where `mask` holds; 0 if there are none."""
    weights = jnp.broadcast_to(mask, x.shape).astype(x.dtype)
    # where, not only a product: what is masked out may be infinite.
    total = jnp.sum(jnp.where(weights > 0, x, 0.0))
    return total / jnp.maximum(weights.sum(), 1.0)
