"""Recognise networks that have our names but are not built here, by arrays that ours do not have."""

import re
from collections.abc import Callable, Mapping

import numpy as np

from man_jax.networks.backbone_traits import traits_of
from man_jax.networks.pretrained.array_places import LibraryPlace, Path

BLOCK = r"(layer\d|\d)\.\d+\."
"""A block of a stage, by its name or by its position."""

UNSUPPORTED_RESNETS = (
    (r"attnpool\.", "it pools by attention: the ResNet of CLIP"),
    (r"(conv1|0)\.\d", "its stem is of several convolutions: a ResNet-C, -D, -S or -T"),
    (BLOCK + r"(se|se_module|se_layer)\.", "its blocks weigh their channels: an SE- or ECA-ResNet"),
    (BLOCK + r"convs\.", "its 3×3 are split: a Res2Net"),
    (BLOCK + r"conv2\.(conv|fc1)\.", "its 3×3 attend to splits: a ResNeSt"),
    (BLOCK + r"(bn\d\.)?IN\.", "its blocks normalise each instance too: an IBN-Net"),
    (BLOCK + r"(ca|sa|cbam)\.", "its blocks attend to channels and places: a ResNet with CBAM"),
)
"""Names of timm's, torchvision's, OpenAI's and fast-reid's relatives, behind the prefix."""

UNSUPPORTED_PARTS = (
    (r"NL_\d", "resnet", "non-local blocks are between its stages, as in AGW"),
    (r"(sie_embed|cv_embed)\b", "transformer", "it adds an embedding of the camera to every patch (SIE)"),
    (
        r"b[12]\.0\.attn\.",
        "transformer",
        "its last block is trained as two others, b1 and b2 (the JPM of TransReID)",
    ),
)
"""Parts, anywhere in the file, without which the backbone is not the network that was trained."""

BUILT = {
    "resnet": "it is a ResNet of a kind that is not built here: {}; name weights of a plain ResNet-18, -34, -50, -101 "
    "or -152",
    "transformer": "it is a transformer of a kind that is not built here: {}; name weights of a plain one",
}


def describe_unsupported(
    arrays: Mapping[str, np.ndarray], prefix: str, *, family: str, translate: Callable[[Path], LibraryPlace]
) -> str:
    """Describe a network that has our names but is not built here, or give ""; `translate` gives the file's names."""
    kind = traits_of(family).architecture
    for pattern, whose, what in UNSUPPORTED_PARTS:
        if whose == kind and (found := next(filter(re.compile(rf"(.*\.)?{pattern}").match, arrays), None)):
            return BUILT[kind].format(f"{what} ({found})")
    what = _describe_resnet(arrays, prefix, translate) if kind == "resnet" else ""
    return BUILT[kind].format(what) if what else ""


def _describe_resnet(
    arrays: Mapping[str, np.ndarray], prefix: str, translate: Callable[[Path], LibraryPlace]
) -> str:
    names = [name.removeprefix(prefix) for name in arrays if name.startswith(prefix)]
    for pattern, what in UNSUPPORTED_RESNETS:
        if found := next(filter(re.compile(pattern).match, names), None):
            return f"{what} ({prefix}{found})"

    def theirs(*path: str) -> str:
        return prefix + translate(path).names[0]

    if not any(name.endswith("running_mean") for name in names):
        return f"its norms keep no running statistics (no {theirs('bn1', 'mean')}): group normalisation"
    places = [theirs("layer1", "block0", f"conv{i}", "kernel") for i in (1, 2, 3)]
    first, second = (arrays.get(place, np.empty(())) for place in places[:2])
    if places[2] not in arrays or (first.ndim, second.ndim) != (4, 4):
        return ""
    shape = f"{places[1]} is {list(second.shape)}"
    if second.shape[1] < len(second):
        return f"its 3×3 are grouped ({shape}): a ResNeXt"
    stem = arrays.get(theirs("conv1", "kernel"), np.empty(0))
    return f"its 3×3 are wider than its stem ({shape}): a wide ResNet" if len(second) > len(stem) > 0 else ""
