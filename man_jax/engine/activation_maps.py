"""Compute where the last maps of each branch are strong."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from man_jax.engine.augment import Normalization, normalize
from man_jax.networks.three_branch import ThreeBranch, Variables


def activation_maps(
    model: ThreeBranch,
    normalization: Normalization,
    variables: Variables,
    images: UInt8[np.ndarray, "B M H W 3"],
) -> Float[np.ndarray, "B M h w"]:
    """Compute the strength of the last maps of each branch, divided by its largest value in each image.

        strength(y, x) = Σ_c map(y, x, c)²

    Source: Zagoruyko and Komodakis, "Paying more attention to attention", ICLR 2017, Section 3.1.

    Raises:
        ValueError: the backbone gives no maps, as a transformer.
    """

    def strength(variables: Variables, images: Array) -> Array:
        maps, _ = model.maps(variables, normalize(images, normalization), train=False)
        energy = jnp.square(maps[-1].astype(jnp.float32)).sum(axis=-1)
        largest = energy.max(axis=(2, 3), keepdims=True)
        return jnp.moveaxis(energy / jnp.where(largest == 0, 1, largest), 0, 1)

    return np.asarray(jax.jit(strength)(variables, images))
