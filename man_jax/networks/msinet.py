"""MSINet, a light network that was searched for re-identification: two scales of maps that interact.

Source: Gu et al., "MSINet: Twins contrastive search of multi-scale interaction for object ReID", CVPR 2023.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from man_jax.networks.batch_norm import BatchNorm
from man_jax.networks.convolution import Convolution, ConvolutionForm, DepthwiseConvolution
from man_jax.networks.msinet_keys import PUBLISHED
from man_jax.networks.resnet import Remat, check_stage, pool_maps, pool_stem, rectify
from man_jax.networks.scale_interactions import PointwiseConvolution, interact

CELLS = 2
"""Cells in each stage; each has two interactions."""


class Unit(nn.Module):
    """A convolution and its normalisation, then ReLU unless it is `linear`."""

    features: int
    size: int
    form: ConvolutionForm
    train: bool
    dtype: Any
    stride: int = 1
    linear: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w E"]:
        """Transform a batch of maps."""
        x = Convolution(self.features, self.size, self.stride, self.form, self.dtype, name="conv")(x)
        x = BatchNorm(use_running_average=not self.train, dtype=self.dtype, name="bn")(x)
        return x if self.linear else nn.relu(x)


class LightUnit(nn.Module):
    """A 1×1 convolution, a 3×3 one of each channel by itself, their normalisation, and ReLU."""

    form: ConvolutionForm
    train: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """Transform a batch of maps."""
        x = Convolution(x.shape[-1], 1, form=self.form, dtype=self.dtype, name="conv1")(x)
        x = DepthwiseConvolution(3, self.form, self.dtype, name="conv2")(x)
        return nn.relu(BatchNorm(use_running_average=not self.train, dtype=self.dtype, name="bn")(x))


class Cell(nn.Module):
    """Two scales, of 2 and of 6 light units, that interact in the middle and at the end, added to the input."""

    features: int
    interactions: Sequence[str]
    form: ConvolutionForm
    train: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W E"]:
        """Transform a batch of maps."""
        kind = {"form": self.form, "train": self.train, "dtype": self.dtype}
        near, far = (Unit(self.features // 4, 1, name=f"conv1{scale}", **kind)(x) for scale in "ab")
        for number, interaction in enumerate(self.interactions, start=2):
            near = LightUnit(name=f"conv{number}a", **kind)(near)
            for place in range(3):
                far = LightUnit(name=f"conv{number}b{place}", **kind)(far)
            near, far = interact(interaction, near, far, dtype=self.dtype, name=f"op{number}")
        linear = partial(Unit, self.features, 1, linear=True, **kind)
        y = linear(name="conv4a")(near) + linear(name="conv4b")(far)
        if x.shape[-1] != self.features:
            x = linear(name="downsample")(x)
        return rectify(y + x)


class Stage(nn.Module):
    """Two cells of one width; before those of a later stage, a unit and a mean over 2×2 places."""

    features: int
    interactions: Sequence[str]
    form: ConvolutionForm
    train: bool
    remat_cells: bool
    dtype: Any
    reduces: bool
    half_channels: int
    """Channels of maps of which the halves' features are means; 0: none."""

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> tuple[Float[Array, "B h w E"], Array | None]:
        """Compute the stage's maps, and those of the halves' features if it has them."""
        if self.reduces:
            x = Unit(x.shape[-1], 1, self.form, self.train, self.dtype, name="reduction")(x)
            x = nn.avg_pool(x, window_shape=(2, 2), strides=(2, 2))
        halves = None
        if self.half_channels:
            halves = PointwiseConvolution(self.half_channels, self.dtype, name="halves")(x)
        cell = nn.remat(Cell) if self.remat_cells else Cell
        for place in range(CELLS):
            own = tuple(self.interactions[2 * place : 2 * place + 2])
            x = cell(self.features, own, self.form, self.train, self.dtype, name=f"cell{place}")(x)
        return x, halves


class MSINet(nn.Module):
    """A network from a normalised image to D features: stem, stages of two cells, average pool.

    D is the last of `widths`, and twice `half_channels` more: the means over the upper and the lower half of maps of so
    many channels that are made before the cells of the last stage, as in the public code, which has 128 of them.

    Maps have the number of the stage that made them: 0 is the stem. `remat` trades time for memory, as in a ResNet; its
    blocks are the cells here.
    """

    widths: Sequence[int] = (64, 256, 384, 512)
    """Channels of the stem and of each stage."""
    interactions: Sequence[str] = PUBLISHED
    half_channels: int = 0
    form: ConvolutionForm = "lax"
    remat: Remat = "none"
    dtype: Any = None
    """The type of the computation; None: that of parameters and images. Statistics and results keep their types."""

    @property
    def dim(self) -> int:
        """The length D of the feature vector."""
        return self.widths[-1] + 2 * self.half_channels

    @property
    def num_stages(self) -> int:
        """S, the number of the last stage; the stem is stage 0."""
        return len(self.widths) - 1

    def __call__(self, images: Float[Array, "B H W 3"], *, train: bool) -> Float[Array, "B D"]:
        """Compute the features of a batch of images."""
        maps, halves = self._run_stages(images, first=0, last=self.num_stages, train=train)
        return _pool(maps[-1], halves, images.dtype)

    def maps(
        self, images: Float[Array, "B H W 3"], *, train: bool, last: int | None = None
    ) -> tuple[Float[Array, "B h w C"], ...]:
        """Compute the maps of the stages 0 … `last` (None: of all), in the type of the images.

        Raises:
            ValueError: there is no such stage.
        """
        last = self._checked(self.num_stages if last is None else last, last=self.num_stages)
        maps, _ = self._run_stages(images, first=0, last=last, train=train)
        return tuple(x.astype(images.dtype) for x in maps)

    def from_stage(self, maps: Float[Array, "B h w C"], *, stage: int, train: bool) -> Float[Array, "B D"]:
        """Compute the features from the maps of a stage, by the later stages and the pool.

        Raises:
            ValueError: there is no such stage, or it is the last one, and the halves' features are of earlier maps.
        """
        first = self._checked(stage, last=self.num_stages - bool(self.half_channels)) + 1
        x = maps if self.dtype is None else maps.astype(self.dtype)
        later, halves = self._run_stages(x, first=first, last=self.num_stages, train=train)
        return _pool(later[-1], halves, maps.dtype)

    @nn.compact
    def _run_stages(
        self, x: Float[Array, "B H W C"], *, first: int, last: int, train: bool
    ) -> tuple[list[Array], Array | None]:
        """Compute the maps of the stages `first` … `last` (without a stage: `x`), and those of the halves."""
        maps, halves = [], None
        for stage in range(first, last + 1):
            if stage == 0:
                x = self._stem(x, train=train)
            else:
                x, halves = self._stage(stage, train=train)(x)
            maps.append(x)
        return maps or [x], halves

    def _stem(self, images: Float[Array, "B H W 3"], *, train: bool) -> Float[Array, "B h w C"]:
        x = Unit(self.widths[0], 7, self.form, train, self.dtype, stride=2, name="stem")(images)
        return pool_stem(x, form=self.form)

    def _stage(self, stage: int, *, train: bool) -> nn.Module:
        place = 2 * CELLS * (stage - 1)
        return (nn.remat(Stage) if self.remat == "stage" else Stage)(
            self.widths[stage],
            tuple(self.interactions[place : place + 2 * CELLS]),
            self.form,
            train,
            self.remat == "block",
            self.dtype,
            stage > 1,
            self.half_channels if stage == self.num_stages else 0,
            name=f"layer{stage}",
        )

    def _checked(self, stage: int, *, last: int) -> int:
        return check_stage(stage, last=last, backbone="msinet", key="model.msinet.widths")


def _pool(x: Float[Array, "B h w C"], halves: Array | None, dtype: Any) -> Float[Array, "B D"]:
    """Pool the last maps over all places, and the halves' maps over the upper and the lower half of the rows."""
    features = [x]
    if halves is not None:
        middle = halves.shape[1] // 2
        features += [halves[:, :middle], halves[:, middle:]]
    return jnp.concatenate([pool_maps(each.astype(dtype)) for each in features], axis=-1)
