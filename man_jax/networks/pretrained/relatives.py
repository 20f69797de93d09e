"""Networks that share a ResNet's names and are none that we build: told by what they have and it has not."""

import re
from collections.abc import Mapping

import numpy as np

RELATIVES = (
    (r"attnpool\.", "it pools by attention: the ResNet of CLIP"),
    (r"conv1\.\d", "its stem is of several convolutions: a ResNet-C, -D, -S or -T"),
    (r"layer1\.0\.(se|se_module)\.", "its blocks weigh their channels: an SE- or ECA-ResNet"),
    (r"layer1\.0\.convs\.", "its 3×3 are split: a Res2Net"),
)
"""Names of timm's, torchvision's and OpenAI's relatives, behind the prefix."""


def relative(arrays: Mapping[str, np.ndarray], prefix: str) -> str:
    """What makes a ResNet with torchvision's names one that we do not build, or ""."""
    names = [name.removeprefix(prefix) for name in arrays if name.startswith(prefix)]
    for pattern, what in RELATIVES:
        if found := next(filter(re.compile(pattern).match, names), None):
            return f"{what} ({prefix}{found})"
    if not any(name.endswith("running_mean") for name in names):
        return f"its norms keep no running statistics (no {prefix}bn1.running_mean): group normalisation"
    first, second = (arrays.get(f"{prefix}layer1.0.conv{i}.weight", np.empty(())) for i in (1, 2))
    if f"{prefix}layer1.0.conv3.weight" not in arrays or (first.ndim, second.ndim) != (4, 4):
        return ""
    shape = f"{prefix}layer1.0.conv2.weight is {list(second.shape)}"
    if second.shape[1] < len(second):
        return f"its 3×3 are grouped ({shape}): a ResNeXt"
    stem = arrays.get(f"{prefix}conv1.weight", np.empty(0))
    return f"its 3×3 are wider than its stem ({shape}): a wide ResNet" if len(second) > len(stem) > 0 else ""
