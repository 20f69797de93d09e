"""Know what may be beside a backbone in a file of weights: heads of ReID code bases, and what a trainer saves.

Any other array may be a part of the backbone that our network lacks, so it is refused.
"""

import re

import numpy as np

HEADS = re.compile(
    r"((\w+_)?(classifiers?|bottlenecks?|bnneck|bn_neck|neck|feat|features?_bn|feat_bn|heads?|fc|logits"
    r"|projector|predictor|projection_head|pooler|prototypes)|embedding|embedding_layer|global_feat|proj_head"
    r"|(global_|avg|gem_?)?pool(_layer|ing)?|arcface|cosface|circle)(\d+|_\w+)?"
)
"""Modules that read features or a backbone's last maps: torchreid, strong-baseline, fast-reid, TransReID, MMT, MoCo."""

TRAINERS = re.compile(
    r"optim\w*|(\w+_)?scheduler\w*|(grad_)?scaler|amp|epoch|iter(ation)?s?|(global_)?step|best_\w+|\w*rng\w*"
    r"|criterion\w*|(\w+_)?loss\w*|(\w+_)?centers?|queue\w*|memory\w*|callbacks|loops|hyper_parameters|args|cfg"
    r"|config|meta|metrics?|pixel_(mean|std)"
)
"""What a trainer saves beside a network: its optimiser, its losses, MoCo's queue, fast-reid's normalisation."""

MOMENTUM_COPIES = {
    "encoder_q": "encoder_k",
    "base_encoder": "momentum_encoder",
    "online_encoder": "target_encoder",
}
"""Pairs of names of a network and its running average, which are trained together (MoCo, BYOL)."""


def own_name(name: str, prefix: str) -> str:
    """Strip a name of the parts that it shares with the backbone's prefix.

    Behind the prefix `model.backbone.`, `model.heads.weight` is `heads.weight`, `model.backbone.fc.bias` is `fc.bias`.
    """
    parts = name.split(".")
    for shared in prefix.split(".")[:-1]:
        if len(parts) < 2 or parts[0] != shared:
            break
        parts = parts[1:]
    return ".".join(parts)


def is_known(name: str, array: np.ndarray, prefix: str) -> bool:
    """Tell whether an array left over is of a head or of a trainer, and not one that the backbone needs.

    A kernel wider than 1×1 reads a neighbourhood, which no head of vectors does. So it never counts as a head.
    """
    part = own_name(name, prefix).split(".")[0]
    if TRAINERS.fullmatch(part):
        return True
    return HEADS.fullmatch(part) is not None and (array.ndim < 4 or set(array.shape[2:]) == {1})


def momentum_copy(prefixes: list[str]) -> tuple[str, str] | None:
    """Tell a network from its running average, if two prefixes differ by such a pair of names: (network, average)."""
    for kept, copy in MOMENTUM_COPIES.items():
        for prefix in prefixes:
            other = ".".join(copy if part == kept else part for part in prefix.split("."))
            if other != prefix and sorted(prefixes) == sorted([prefix, other]):
                return prefix, other
    return None
