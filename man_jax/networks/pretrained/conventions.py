"""How other libraries name and lay out the arrays of our networks.

A convention translates a path of ours, say (layer1, block0, conv1, kernel), into the name or names of theirs. So
what a network needs is asked of the file, and what is missing or left over has a name.
"""

import re
from collections.abc import Callable
from typing import Literal, NamedTuple

Family = Literal["resnet", "vit", "clip"]
Layout = Literal["same", "convolution", "linear"]
Path = tuple[str, ...]

LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


class Foreign(NamedTuple):
    """Where an array of ours is: under one name, or in several that follow one another along their first axis."""

    names: tuple[str, ...]
    layout: Layout = "same"
    leading: int = 0
    """Axes of length 1 before those of ours."""


class Convention(NamedTuple):
    """One library's names for one family of networks."""

    title: str
    family: Family
    anchor: str
    """A name that every such file has, perhaps behind a prefix such as `module.`."""
    translate: Callable[[Path], Foreign]
    unneeded: tuple[str, ...]
    """How names begin that belong to the library's network and not to ours: its classifier."""


def detect(names: list[str]) -> list[tuple[Convention, str]]:
    """Every (convention, prefix) that the names of a file fit."""
    return [
        (convention, name.removesuffix(convention.anchor))
        for convention in CONVENTIONS
        for name in names
        if name == convention.anchor or name.endswith(f".{convention.anchor}")
    ]


def _torchvision_resnet(path: Path) -> Foreign:
    """`layer1.0.conv1.weight`, `layer1.0.downsample.0.weight`; timm names them alike."""
    *modules, leaf = path
    names = {"downsample_conv": "downsample.0", "downsample_bn": "downsample.1"}
    theirs = [names.get(name, name.removeprefix("block")) for name in modules]
    return _plain(".".join(theirs), leaf, convolution=True)


def _huggingface_resnet(path: Path) -> Foreign:
    """`encoder.stages.0.layers.0.layer.0.convolution.weight`, `...shortcut.normalization.bias`."""
    *modules, leaf = path
    kind = "normalization" if re.search("bn[0-9]?$", modules[-1]) else "convolution"
    if len(modules) == 1:
        return _plain(f"embedder.embedder.{kind}", leaf, convolution=True)
    stage, block, name = modules
    inner = "shortcut" if name.startswith("downsample") else f"layer.{int(name[-1]) - 1}"
    place = f"encoder.stages.{int(stage.removeprefix('layer')) - 1}.layers.{block.removeprefix('block')}"
    return _plain(f"{place}.{inner}.{kind}", leaf, convolution=True)


def _plain(name: str, leaf: str, *, convolution: bool = False) -> Foreign:
    kernel: Layout = "convolution" if convolution else "linear"
    return Foreign((f"{name}.{LEAVES[leaf]}",), kernel if leaf == "kernel" else "same")


CONVENTIONS = (
    Convention("torchvision or timm", "resnet", "layer1.0.conv1.weight", _torchvision_resnet, ("fc.",)),
    Convention(
        "Hugging Face",
        "resnet",
        "embedder.embedder.convolution.weight",
        _huggingface_resnet,
        ("classifier.",),
    ),
)
