"""2-D convolution, also of each channel alone, in two forms that agree: XLA's own, a product a tap of the kernel."""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jaxtyping import Array, Float

ConvolutionForm = Literal["lax", "taps"]

FEW_CHANNELS = 16
"""With fewer channels, a tap's product is too small to be worth a call, so all taps become one product."""

kernel_initializer = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class Convolution(nn.Module):
    """Square convolution without bias, padded by (size − 1) / 2 on every side, as PyTorch's networks are.

    (`SAME` pads differently at stride 2.) `lax` is the form for GPU and TPU. On a CPU, `taps` is faster: there XLA's
    weight gradient of a 1×1 convolution can take 60 times as long as the equal matrix product, and a vmapped
    convolution becomes a grouped one.
    """

    features: int
    size: int
    stride: int = 1
    form: ConvolutionForm = "lax"
    dtype: Any = None
    """The type of the computation; None: the type of the parameters and maps."""

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w E"]:
        """Convolve a batch of maps."""
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", kernel_initializer, shape)
        x, kernel = promote_dtype(x, kernel, dtype=self.dtype)
        if self.form == "lax":
            return convolve_lax(x, kernel, stride=self.stride)
        return convolve_taps(x, kernel, stride=self.stride)


class DepthwiseConvolution(nn.Module):
    """Square convolution of each channel by itself, without bias, padded as `Convolution` is, with stride 1."""

    size: int
    form: ConvolutionForm = "lax"
    dtype: Any = None
    """The type of the computation; None: the type of the parameters and maps."""

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """Convolve a batch of maps."""
        kernel = self.param("kernel", kernel_initializer, (self.size, self.size, 1, x.shape[-1]))
        x, kernel = promote_dtype(x, kernel, dtype=self.dtype)
        if self.form == "lax":
            return convolve_lax(x, kernel, stride=1, groups=x.shape[-1])
        shifted, taps = _shift(x, self.size, stride=1), kernel.reshape(-1, 1, 1, 1, x.shape[-1])
        return sum(part * tap for part, tap in zip(shifted[1:], taps[1:], strict=True)) + shifted[0] * taps[0]


def convolve_lax(
    x: Float[Array, "B H W C"], kernel: Float[Array, "S S c E"], *, stride: int, groups: int = 1
) -> Float[Array, "B h w E"]:
    """Convolve by one operation of XLA; `groups` of channels, c = C / groups of each, are convolved by themselves."""
    padding = (kernel.shape[0] - 1) // 2
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=[(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def convolve_taps(
    x: Float[Array, "B H W C"], kernel: Float[Array, "S S C E"], *, stride: int
) -> Float[Array, "B h w E"]:
    """Convolve by summing, over the taps (i, j), shifted x times kernel[i, j]."""
    size, _, channels, features = kernel.shape
    shifted = _shift(x, size, stride=stride)
    taps = kernel.reshape(size * size, channels, features)
    if channels < FEW_CHANNELS:
        return jnp.concatenate(shifted, axis=-1) @ taps.reshape(-1, features)
    return sum(part @ tap for part, tap in zip(shifted[1:], taps[1:], strict=True)) + shifted[0] @ taps[0]


def _shift(x: Float[Array, "B H W C"], size: int, *, stride: int) -> list[Float[Array, "B h w C"]]:
    """Give the padded maps as each tap of a kernel reads them, row by row of the kernel."""
    padding = (size - 1) // 2
    height, width = (1 + (n - 1) // stride for n in x.shape[1:3])
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    return [
        x[:, i : i + stride * (height - 1) + 1 : stride, j : j + stride * (width - 1) + 1 : stride]
        for i in range(size)
        for j in range(size)
    ]
