"""ResNet (He et al., CVPR 2016), in the variant of torchvision: a bottleneck's stride is in its 3×3."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from man_jax.networks.convolution import Convolution, ConvolutionForm

Remat = Literal["none", "block", "stage"]
Block = Literal["bottleneck", "basic"]

EXPANSION = {"bottleneck": 4, "basic": 1}
"""A block's output has this many times the channels of its 3×3."""


class BatchNorm(nn.BatchNorm):
    """Batch normalisation with PyTorch's constants (its momentum 0.1 is 0.9 here)."""

    momentum: float = 0.9
    epsilon: float = 1e-5


class Bottleneck(nn.Module):
    """1×1 reduce, 3×3, 1×1 expand, each normalised, added to the (projected) input."""

    features: int
    stride: int
    form: ConvolutionForm
    train: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w E"]:
        """Transform a batch of maps."""
        convolution = partial(Convolution, form=self.form, dtype=self.dtype)
        norm = partial(BatchNorm, use_running_average=not self.train, dtype=self.dtype)
        out_features = self.features * EXPANSION["bottleneck"]
        y = nn.relu(norm(name="bn1")(convolution(self.features, 1, name="conv1")(x)))
        y = nn.relu(norm(name="bn2")(convolution(self.features, 3, self.stride, name="conv2")(y)))
        y = norm(name="bn3")(convolution(out_features, 1, name="conv3")(y))
        if x.shape != y.shape:
            x = convolution(out_features, 1, self.stride, name="downsample_conv")(x)
            x = norm(name="downsample_bn")(x)
        return nn.relu(x + y)


class Basic(nn.Module):
    """Two 3×3, each normalised, added to the (projected) input: the block of ResNet-18 and -34."""

    features: int
    stride: int
    form: ConvolutionForm
    train: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w E"]:
        """Transform a batch of maps."""
        convolution = partial(Convolution, form=self.form, dtype=self.dtype)
        norm = partial(BatchNorm, use_running_average=not self.train, dtype=self.dtype)
        y = nn.relu(norm(name="bn1")(convolution(self.features, 3, self.stride, name="conv1")(x)))
        y = norm(name="bn2")(convolution(self.features, 3, name="conv2")(y))
        if x.shape != y.shape:
            x = convolution(self.features, 1, self.stride, name="downsample_conv")(x)
            x = norm(name="downsample_bn")(x)
        return nn.relu(x + y)


class Stage(nn.Module):
    """Blocks of one width; the first one carries the stride."""

    features: int
    num_blocks: int
    stride: int
    form: ConvolutionForm
    train: bool
    remat_blocks: bool
    block: Block
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w E"]:
        """Transform a batch of maps."""
        block = {"bottleneck": Bottleneck, "basic": Basic}[self.block]
        block = nn.remat(block) if self.remat_blocks else block
        for i in range(self.num_blocks):
            stride = self.stride if i == 0 else 1
            x = block(self.features, stride, self.form, self.train, self.dtype, name=f"block{i}")(x)
        return x


class ResNet(nn.Module):
    """A normalised image to D = 8 · width · 4 (`basic`: 8 · width) features: stem, four stages, global average pool.

    `last_stride` 1 keeps the last stage at the resolution of the one before, as is customary in ReID. `remat`
    trades time for memory: what is recomputed in the backward pass is each block's inside, or each stage's.
    """

    stage_sizes: Sequence[int] = (3, 4, 6, 3)
    width: int = 64
    last_stride: int = 1
    form: ConvolutionForm = "lax"
    remat: Remat = "none"
    block: Block = "bottleneck"
    dtype: Any = None
    """Of the computation; None: that of the parameters and images. Statistics and what is returned keep theirs."""

    @property
    def dim(self) -> int:
        """Length D of the feature vector."""
        return self.width * 2 ** (len(self.stage_sizes) - 1) * EXPANSION[self.block]

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"], *, train: bool) -> Float[Array, "B D"]:
        """Features of a batch of images."""
        x = Convolution(self.width, 7, 2, form=self.form, dtype=self.dtype, name="conv1")(images)
        x = nn.relu(BatchNorm(use_running_average=not train, dtype=self.dtype, name="bn1")(x))
        padding: Any = [(1, 1), (1, 1)]  # which flax takes, though it declares str
        x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=padding)
        stage = nn.remat(Stage) if self.remat == "stage" else Stage
        last = len(self.stage_sizes) - 1
        for i, num_blocks in enumerate(self.stage_sizes):
            stride = {0: 1, last: self.last_stride}.get(i, 2)
            x = stage(
                self.width * 2**i,
                num_blocks,
                stride,
                self.form,
                train,
                self.remat == "block",
                self.block,
                self.dtype,
                name=f"layer{i + 1}",
            )(x)
        return jnp.mean(x.astype(images.dtype), axis=(1, 2))
