"""ResNet (He et al., CVPR 2016), in the variant of torchvision, where the 3×3 of a bottleneck has the stride."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.lax import index_in_dim, slice_in_dim
from jaxtyping import Array, Float

from man_jax.networks.batch_norm import BatchNorm
from man_jax.networks.convolution import Convolution, ConvolutionForm

Remat = Literal["none", "block", "stage"]
Block = Literal["bottleneck", "basic"]

EXPANSION = {"bottleneck": 4, "basic": 1}
"""A block's output has this many times the channels of its 3×3."""


class Bottleneck(nn.Module):
    """Three convolutions (1×1 reduce, 3×3, 1×1 expand), each normalised, added to the (projected) input."""

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
        return rectify(x + y)


class Basic(nn.Module):
    """Two 3×3 convolutions, each normalised, added to the (projected) input: the block of ResNet-18 and -34."""

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
        return rectify(x + y)


class Stage(nn.Module):
    """Blocks of one width; the first one has the stride."""

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
    """A network from a normalised image to D = 8 · width · 4 (`basic`: 8 · width) features: stem, stages, average pool.

    `last_stride` 1 keeps the last stage at the resolution of the one before, as is customary in ReID. `remat` trades
    time for memory: the backward pass computes the inside of each block, or of each stage, once more.

    Maps have the number of the stage that made them: 0 is the stem, s is `layer{s}`. The last stage is `num_stages`,
    and the mean of its maps over all places is the feature.
    """

    stage_sizes: Sequence[int] = (3, 4, 6, 3)
    width: int = 64
    last_stride: int = 1
    form: ConvolutionForm = "lax"
    remat: Remat = "none"
    block: Block = "bottleneck"
    dtype: Any = None
    """The type of the computation; None: that of parameters and images. Statistics and results keep their types."""
    stem_relu: bool = True
    """Whether there is a ReLU between the first normalisation and the first pool."""

    @property
    def dim(self) -> int:
        """The length D of the feature vector."""
        return self.width * 2 ** (self.num_stages - 1) * EXPANSION[self.block]

    @property
    def num_stages(self) -> int:
        """S, the number of the last stage; the stem is stage 0."""
        return len(self.stage_sizes)

    def __call__(self, images: Float[Array, "B H W 3"], *, train: bool) -> Float[Array, "B D"]:
        """Compute the features of a batch of images."""
        *_, x = self._run_stages(images, first=0, last=self.num_stages, train=train)
        return pool_maps(x.astype(images.dtype))

    def maps(
        self, images: Float[Array, "B H W 3"], *, train: bool, last: int | None = None
    ) -> tuple[Float[Array, "B h w C"], ...]:
        """Compute the maps of the stages 0 … `last` (None: of all), in the type of the images.

        Raises:
            ValueError: there is no such stage.
        """
        last = self._checked(self.num_stages if last is None else last)
        maps = self._run_stages(images, first=0, last=last, train=train)
        return tuple(x.astype(images.dtype) for x in maps)

    def from_stage(self, maps: Float[Array, "B h w C"], *, stage: int, train: bool) -> Float[Array, "B D"]:
        """Compute the features from the maps of a stage, by the later stages and the pool.

        Raises:
            ValueError: there is no such stage.
        """
        x = maps if self.dtype is None else maps.astype(self.dtype)
        *_, x = self._run_stages(x, first=self._checked(stage) + 1, last=self.num_stages, train=train)
        return pool_maps(x.astype(maps.dtype))

    @nn.compact
    def _run_stages(self, x: Float[Array, "B H W C"], *, first: int, last: int, train: bool) -> list[Array]:
        """Compute the maps of the stages `first` … `last`; without a stage, give `x`. Stage 0 reads images."""
        maps = []
        for stage in range(first, last + 1):
            x = self._stem(x, train=train) if stage == 0 else self._stage(stage, train=train)(x)
            maps.append(x)
        return maps or [x]

    def _stem(self, images: Float[Array, "B H W 3"], *, train: bool) -> Float[Array, "B h w C"]:
        x = Convolution(self.width, 7, 2, form=self.form, dtype=self.dtype, name="conv1")(images)
        x = BatchNorm(use_running_average=not train, dtype=self.dtype, name="bn1")(x)
        x = nn.relu(x) if self.stem_relu else x
        return pool_stem(x, form=self.form)

    def _stage(self, stage: int, *, train: bool) -> nn.Module:
        stride = {1: 1, self.num_stages: self.last_stride}.get(stage, 2)
        return (nn.remat(Stage) if self.remat == "stage" else Stage)(
            self.width * 2 ** (stage - 1),
            self.stage_sizes[stage - 1],
            stride,
            self.form,
            train,
            self.remat == "block",
            self.block,
            self.dtype,
            name=f"layer{stage}",
        )

    def _checked(self, stage: int) -> int:
        return check_stage(stage, last=self.num_stages, backbone="resnet", key="model.stage_sizes")


def rectify(x: Array) -> Array:
    """Compute max(x, 0) with the gradient of `nn.relu`, as a choice between two arrays.

    XLA keeps the result of a choice that several read. A maximum has one operand of its size, so XLA repeats it for
    each reader, and with it the sums of all blocks before: each block would read one map more than the one before.
    """
    return jnp.where(x <= 0, 0, x)


def pool_stem(maps: Float[Array, "B H W C"], *, form: ConvolutionForm) -> Float[Array, "B h w C"]:
    """Take the largest of 3 × 3 places, 2 apart, with one place of nothing on every side.

    For `lax` the places are added before, because the library that writes ONNX knows whole windows only; XLA joins
    both. For `taps` columns and rows are compared in turn, whose gradient is much faster on a CPU. The two differ in
    the gradient where a window's largest value is there twice, as a ReLU's zeros are, which pass none on.
    """
    if form != "lax":
        return _largest_of_three(_largest_of_three(maps, axis=2), axis=1)
    maps = jnp.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-jnp.inf)
    return nn.max_pool(maps, window_shape=(3, 3), strides=(2, 2))


def _largest_of_three(maps: Float[Array, "B H W C"], *, axis: int) -> Array:
    """Take the largest of the places 2 j − 1, 2 j and 2 j + 1 along an axis, for each j."""
    length = maps.shape[axis]
    pairs = (length + 1) // 2 + 1  # (2 j − 1, 2 j); the last one gives its first
    padding = [(0, 0)] * maps.ndim
    padding[axis] = (1, 2 * pairs - length - 1)
    maps = jnp.pad(maps, padding, constant_values=-jnp.inf)
    maps = maps.reshape(*maps.shape[:axis], pairs, 2, *maps.shape[axis + 1 :])
    first, second = (index_in_dim(maps, i, axis + 1, keepdims=False) for i in range(2))
    here, after = (slice_in_dim(first, i, pairs - 1 + i, axis=axis) for i in range(2))
    return jnp.maximum(jnp.maximum(here, slice_in_dim(second, 0, pairs - 1, axis=axis)), after)


def pool_maps(maps: Float[Array, "... h w C"]) -> Float[Array, "... C"]:
    """Compute the mean of maps over all places."""
    return jnp.mean(maps, axis=(-3, -2))


def check_stage(stage: int, *, last: int, backbone: str, key: str) -> int:
    """Refuse a stage that a network does not have; `config.<key>` has one entry for each stage.

    Raises:
        ValueError: it is below 0 or above `last`.
    """
    if not 0 <= stage <= last:
        raise ValueError(
            f"stage is {stage}, but the {backbone} has the stages 0 (the stem) to {last} (config.{key}); choose one of "
            f"them"
        )
    return stage
