"""Compute features of parts of an image: means of the maps over horizontal stripes (Sun et al., ECCV 2018)."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def pool_stripes(maps: Float[Array, "... h w C"], *, num_stripes: int = 2) -> Float[Array, "P ... C"]:
    """Compute the mean of the maps over each of P horizontal stripes, from the top down.

    Stripe p has the rows floor(p h / P) … ceil((p + 1) h / P) − 1, as in PyTorch's adaptive pooling. If P does not
    divide h, neighbours share a row.

    Raises:
        ValueError: there are fewer rows than stripes, or no stripe.
    """
    height = maps.shape[-3]
    if not 1 <= num_stripes <= height:
        raise ValueError(
            f"num_stripes is {num_stripes}, but the maps have {height} rows; it must be between 1 and {height}"
        )
    stripes = [
        maps[..., part * height // num_stripes : -(-(part + 1) * height // num_stripes), :, :]
        for part in range(num_stripes)
    ]
    return jnp.stack([jnp.mean(stripe, axis=(-3, -2)) for stripe in stripes])
