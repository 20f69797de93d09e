"""Build backbones by name. Each has a function, whose keywords are the keys in `backbone_traits.py`."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from man_jax.networks.backbone_traits import traits_of
from man_jax.networks.convolution import ConvolutionForm
from man_jax.networks.msinet import MSINet
from man_jax.networks.resnet import Block, Remat, ResNet
from man_jax.networks.three_branch import Backbone
from man_jax.networks.vit import ViT


def build_resnet(
    *,
    stage_sizes: Sequence[int],
    width: int,
    last_stride: int,
    stem_relu: bool,
    block: Block,
    convolution: ConvolutionForm,
    remat: Remat = "none",
    dtype: Any = None,
) -> ResNet:
    """Build a ResNet."""
    return ResNet(tuple(stage_sizes), width, last_stride, convolution, remat, block, dtype, stem_relu)


def build_vit(*, remat: Literal["none", "block"] = "none", dtype: Any = None, **shape: Any) -> ViT:
    """Build a Vision Transformer; `shape` are the fields of `ViT`."""
    return ViT(kind="vit", **shape, remat=remat, dtype=dtype)


def build_clip(*, remat: Literal["none", "block"] = "none", dtype: Any = None, **shape: Any) -> ViT:
    """Build the visual encoder of CLIP; `shape` are the fields of `ViT`."""
    return ViT(kind="clip", **shape, remat=remat, dtype=dtype)


def build_msinet(
    *,
    widths: Sequence[int],
    interactions: Sequence[str],
    half_channels: int,
    convolution: ConvolutionForm,
    remat: Remat = "none",
    dtype: Any = None,
) -> MSINet:
    """Build an MSINet."""
    return MSINet(tuple(widths), tuple(interactions), half_channels, convolution, remat, dtype)


BACKBONES: dict[str, Callable[..., Backbone]] = {
    "resnet": build_resnet,
    "vit": build_vit,
    "clip": build_clip,
    "msinet": build_msinet,
}


def build_backbone(name: str, **keywords: Any) -> Backbone:
    """Build the backbone of that name.

    Raises:
        ValueError: there is no such backbone; the message names those that exist.
    """
    traits_of(name)
    return BACKBONES[name](**keywords)
