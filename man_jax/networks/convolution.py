"""2-D convolution, also of each channel alone, in two forms that agree: XLA's own, and products of matrices."""

import math
from collections.abc import Callable, Sequence
from functools import partial, reduce
from itertools import chain
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jaxtyping import Array, Float

from man_jax.networks.winograd import convolve_tiles

ConvolutionForm = Literal["lax", "taps", "mixed"]

FEW_CHANNELS = 128
"""With no more channels, a tap's product is too small to be worth a call, so the taps of a row become one product."""
IMAGE_CHANNELS = 16
"""With fewer, the places of a stride become channels for `taps`: to copy 3 floats here and there is slow."""
FOLDED_FEATURES = 16
"""Up to as many features of an image, XLA's convolution on a CPU is faster where those places are channels, too."""
WHOLE_FEATURES = 48
"""From as many features of an image on, XLA's convolution on a CPU is the fastest; between the two, products are."""
TILED_NUMBERS = 2**14
"""From maps of as many numbers on, H W C of an image, a 3×3 convolution by stride 1 goes by tiles.

They need less than half of the multiplications; on smaller maps, what they read and write costs as much as that saves.
In bfloat16 they would round sums of neighbouring places to three digits before they multiply, so it goes without.
"""

LAYOUT = ("NHWC", "HWIO", "NHWC")
"""The axes of maps, kernel and result."""

kernel_initializer = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class Convolution(nn.Module):
    """Square convolution without bias, padded by (size − 1) / 2 on every side, as PyTorch's networks are.

    (`SAME` pads differently at stride 2.) `lax` is the form for GPU and TPU. On a CPU, `taps` is faster: there XLA's
    weight gradient of a 1×1 convolution can take 60 times as long as the equal matrix product, and a vmapped
    convolution becomes a grouped one, which takes 9 times as long. `mixed` is `taps` but for images, with few channels,
    whose form follows the number of features: the fastest on a CPU where branches are not vmapped.
    docs/MEASUREMENTS.md has the figures.
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
        convolve = convolve_lax if self.form == "lax" else convolve_taps
        if self.form == "mixed" and x.shape[-1] < IMAGE_CHANNELS:
            convolve = _fastest_for_images(self.features)
        return convolve(x, kernel, stride=self.stride)


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
        taps = kernel.reshape(-1, 1, 1, 1, x.shape[-1])
        shifted = chain.from_iterable(_shift(_pad(x, self.size), self.size, places=x.shape[1:3]))
        return reduce(jnp.add, (part * tap for part, tap in zip(shifted, taps, strict=True)))


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
        dimension_numbers=LAYOUT,
        feature_group_count=groups,
    )


def _fastest_for_images(features: int) -> Callable[..., Any]:
    """Choose the function that is the fastest on a CPU for images, which have few channels."""
    if features >= WHOLE_FEATURES:
        return convolve_lax
    return convolve_folded if features <= FOLDED_FEATURES else convolve_taps


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve_folded(
    x: Float[Array, "B H W C"], kernel: Float[Array, "S S C E"], stride: int
) -> Float[Array, "B h w E"]:
    """Convolve as `convolve_lax` does, but the s × s places of a stride are channels; the gradients are those of it."""
    folded = _fold(x, kernel, stride=stride, places=_places(x, stride))
    return jax.lax.conv_general_dilated(
        *folded, window_strides=(1, 1), padding="VALID", dimension_numbers=LAYOUT
    )


def _forward_folded(x: Array, kernel: Array, stride: int) -> tuple[Array, tuple[Array, Array]]:
    """Convolve, and keep what the gradients need."""
    return convolve_folded(x, kernel, stride), (x, kernel)


def _backward_folded(stride: int, kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    """Compute the gradients without folding, which takes half of the time for the kernel's."""
    return jax.vjp(partial(convolve_lax, stride=stride), *kept)[1](gradient)


convolve_folded.defvjp(_forward_folded, _backward_folded)


def convolve_taps(
    x: Float[Array, "B H W C"], kernel: Float[Array, "S S C E"], *, stride: int
) -> Float[Array, "B h w E"]:
    """Convolve by summing, over the taps (i, j), shifted x times kernel[i, j]; 3×3 by stride 1 may go by tiles instead.

    The products are of matrices: with the axes of the maps, XLA would copy them in another order to compute gradients.
    """
    size, _, channels, features = kernel.shape
    if (size, stride) == (3, 1) and math.prod(x.shape[1:]) >= TILED_NUMBERS and jnp.finfo(x.dtype).bits >= 32:
        return convolve_tiles(x, kernel)
    height, width = _places(x, stride)
    if channels < IMAGE_CHANNELS and size > stride:
        x, kernel = _fold(x, kernel, stride=stride, places=(height, width))
        size, stride = kernel.shape[0], 1
    else:
        x = _pad(x, size)
    rows = _shift(x, size, stride=stride, places=(height, width))
    together = channels <= FEW_CHANNELS
    parts = [jnp.concatenate(row, axis=-1) for row in rows] if together else chain.from_iterable(rows)
    taps = kernel.reshape(size if together else size * size, -1, features)
    products = (part.reshape(-1, part.shape[-1]) @ tap for part, tap in zip(parts, taps, strict=True))
    return reduce(jnp.add, products).reshape(-1, height, width, features)


def _places(x: Float[Array, "B H W C"], stride: int) -> tuple[int, int]:
    """Count the places, h and w, that a convolution by a stride gives."""
    height, width = x.shape[1:3]
    return 1 + (height - 1) // stride, 1 + (width - 1) // stride


def _pad(x: Float[Array, "B H W C"], size: int) -> Float[Array, "B J I C"]:
    """Add (size − 1) / 2 zeros on every side of the maps."""
    padding = (size - 1) // 2
    return jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))


def _shift(
    x: Float[Array, "B J I C"], size: int, *, places: Sequence[int], stride: int = 1
) -> list[list[Float[Array, "B h w C"]]]:
    """Give padded maps as each tap of a kernel reads them at h × w places: a list for each row of the kernel."""
    height, width = (stride * (n - 1) + 1 for n in places)
    return [[x[:, i : i + height : stride, j : j + width : stride] for j in range(size)] for i in range(size)]


def _fold(
    x: Float[Array, "B H W C"], kernel: Float[Array, "S S C E"], *, stride: int, places: Sequence[int]
) -> tuple[Float[Array, "B J I G"], Float[Array, "R R G E"]]:
    """Make the s × s places of a stride channels, G = s² C, so that a kernel of R = ⌈S / s⌉ does the same by stride 1.

    The maps are padded, so that the kernel fits at h × w `places`, and the kernel by zeros to a multiple of s.
    """
    size, _, channels, features = kernel.shape
    reach = -(-size // stride)
    before = (size - 1) // 2
    lengths = [n - 1 + reach for n in places]  # in strides
    ends = (stride * each - before - n for each, n in zip(lengths, x.shape[1:3], strict=True))
    x = jnp.pad(x, ((0, 0), *((before, end) for end in ends), (0, 0)))
    x = x.reshape(-1, lengths[0], stride, lengths[1], stride, channels).swapaxes(2, 3)
    more = (0, reach * stride - size)
    kernel = jnp.pad(kernel, (more, more, (0, 0), (0, 0)))
    kernel = kernel.reshape(reach, stride, reach, stride, channels, features).swapaxes(1, 2)
    return x.reshape(-1, *lengths, stride**2 * channels), kernel.reshape(reach, reach, -1, features)
