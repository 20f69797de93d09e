"""2-D convolution in two forms that agree: XLA's own, and one matrix product a tap of the kernel."""

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


def convolve_lax(
    x: Float[Array, "B H W C"], kernel: Float[Array, "S S C E"], *, stride: int
) -> Float[Array, "B h w E"]:
    """Convolve by one operation of XLA."""
    padding = (kernel.shape[0] - 1) // 2
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=[(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def convolve_taps(
    x: Float[Array, "B H W C"], kernel: Float[Array, "S S C E"], *, stride: int
) -> Float[Array, "B h w E"]:
    """Convolve by summing, over the taps (i, j), shifted x times kernel[i, j]."""
    size, _, channels, features = kernel.shape
    padding = (size - 1) // 2
    height, width = (1 + (n - 1) // stride for n in x.shape[1:3])
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    shifted = [
        x[:, i : i + stride * (height - 1) + 1 : stride, j : j + stride * (width - 1) + 1 : stride]
        for i in range(size)
        for j in range(size)
    ]
    taps = kernel.reshape(size * size, channels, features)
    if channels < FEW_CHANNELS:
        return jnp.concatenate(shifted, axis=-1) @ taps.reshape(-1, features)
    return sum(part @ tap for part, tap in zip(shifted[1:], taps[1:], strict=True)) + shifted[0] @ taps[0]
