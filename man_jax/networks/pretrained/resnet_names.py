"""Give the names that other libraries have for the arrays of a ResNet."""

import re

from man_jax.networks.pretrained.array_places import LibraryPlace, Path, module_place


def torchvision_resnet(path: Path) -> LibraryPlace:
    """Give torchvision's and timm's name, as `layer1.0.conv1.weight`, `layer1.0.downsample.0.weight`."""
    *modules, leaf = path
    names = {"downsample_conv": "downsample.0", "downsample_bn": "downsample.1"}
    theirs = [names.get(name, name.removeprefix("block")) for name in modules]
    return module_place(".".join(theirs), leaf, convolution=True)


def sequential_resnet(path: Path, *, first_stage: int) -> LibraryPlace:
    """Give the name that torchvision's modules have in an nn.Sequential, as `0.weight`, `1.bias`, `4.0.conv1.weight`.

    `first_stage`: the position of layer1, which tells how many modules without parameters are before it.
    """
    theirs = torchvision_resnet(path)
    module, rest = theirs.names[0].split(".", 1)
    place = {"conv1": 0, "bn1": 1}.get(module)
    if place is None:
        place = first_stage + int(module.removeprefix("layer")) - 1
    return theirs._replace(names=(f"{place}.{rest}",))


def huggingface_resnet(path: Path) -> LibraryPlace:
    """Give the name as `encoder.stages.0.layers.0.layer.0.convolution.weight`, `...shortcut.normalization.bias`."""
    *modules, leaf = path
    kind = "normalization" if re.search("bn[0-9]?$", modules[-1]) else "convolution"
    if len(modules) == 1:
        return module_place(f"embedder.embedder.{kind}", leaf, convolution=True)
    stage, block, name = modules
    inner = "shortcut" if name.startswith("downsample") else f"layer.{int(name[-1]) - 1}"
    place = f"encoder.stages.{int(stage.removeprefix('layer')) - 1}.layers.{block.removeprefix('block')}"
    return module_place(f"{place}.{inner}.{kind}", leaf, convolution=True)
