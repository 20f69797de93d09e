"""Interactions between two scales of maps, from which the architecture of MSINet was searched.

Source: Gu et al., "MSINet: Twins contrastive search of multi-scale interaction for object ReID", CVPR 2023.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jaxtyping import Array, Float

from man_jax.networks.convolution import kernel_initializer

Maps = Float[Array, "B H W C"]
REDUCTION = 16
"""A gate's inner layer has this many times fewer channels than the maps."""


class PointwiseConvolution(nn.Module):
    """A 1×1 convolution with a bias."""

    features: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W E"]:
        """Convolve a batch of maps."""
        kernel = self.param("kernel", kernel_initializer, (1, 1, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return x @ kernel[0, 0] + bias[None, None, None, :]


class ChannelGate(nn.Module):
    """`ag`: each scale times gates in (0, 1), one a channel, that two layers make of the means; both share them."""

    dtype: Any = None

    @nn.compact
    def __call__(self, first: Maps, second: Maps) -> tuple[Maps, Maps]:
        """Multiply the channels of both scales by their gates."""
        channels = first.shape[-1]
        squeeze = PointwiseConvolution(max(1, channels // REDUCTION), self.dtype, name="fc1")
        excite = PointwiseConvolution(channels, self.dtype, name="fc2")

        def gated(x: Maps) -> Maps:
            means = jnp.mean(x, axis=(1, 2), keepdims=True)
            return x * nn.sigmoid(excite(nn.relu(squeeze(means))))

        return gated(first), gated(second)


class CrossAttention(nn.Module):
    """`cross_att`: to each scale is added, times a learnt γ, what its channels attend to.

    A channel attends to the channels of its own scale by softmax(−energy), where the energy is the product of its map
    with the maps of the other scale. γ starts from 0.
    """

    @nn.compact
    def __call__(self, first: Maps, second: Maps) -> tuple[Maps, Maps]:
        """Add to both scales what their channels attend to."""
        gamma = self.param("gamma", nn.initializers.zeros, (1,)).astype(first.dtype)

        def attended(x: Maps, other: Maps) -> Maps:
            energy = jnp.einsum("bhwc,bhwd->bcd", x, other)
            attention = jax.nn.softmax(-energy, axis=-1)
            return gamma[None, None, None, :] * jnp.einsum("bcd,bhwd->bhwc", attention, x) + x

        return attended(first, second), attended(second, first)


def interact(kind: str, first: Maps, second: Maps, *, dtype: Any, name: str) -> tuple[Maps, Maps]:
    """Compute an interaction by its name in the source's code: none, exc (exchange the scales), ag or cross_att.

    It is called inside a module, which the gates and the γ belong to.
    """
    if kind == "ag":
        return ChannelGate(dtype, name=name)(first, second)
    if kind == "cross_att":
        return CrossAttention(name=name)(first, second)
    return {"none": (first, second), "exc": (second, first)}[kind]
