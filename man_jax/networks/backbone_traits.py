"""What each backbone has, as the configuration and the readers of weights must know it; imports no JAX.

A new backbone is an entry here and a function of the same name in `backbones.py`.
"""

from typing import Literal, NamedTuple

Architecture = Literal["resnet", "transformer"]
Activation = Literal["gelu", "quick_gelu"]


class BackboneTraits(NamedTuple):
    """The facts about a backbone that are needed before it is built."""

    architecture: Architecture
    keys: tuple[str, ...]
    """The keys of `config.model` that belong to it: its function in `backbones.py` takes what they are called last."""
    has_stages: bool
    """Whether it gives maps stage by stage, which mixing, parts and `model.remat=stage` need."""
    has_positions: bool
    """Whether its weights are those of one grid of patches, and so of one size of images."""


_RESNET = ("model.stage_sizes", "model.width", "model.last_stride", "model.block", "model.convolution")
_TRANSFORMER = tuple(
    f"model.vit.{name}" for name in ("patch", "stride", "width", "depth", "heads", "projection", "activation")
)

TRAITS = {
    "resnet": BackboneTraits("resnet", _RESNET, has_stages=True, has_positions=False),
    "vit": BackboneTraits("transformer", _TRANSFORMER, has_stages=False, has_positions=True),
    "clip": BackboneTraits("transformer", _TRANSFORMER, has_stages=False, has_positions=True),
}
"""By the name that `config.model.backbone` has."""

AUTO_ACTIVATION: dict[str, Activation] = {"vit": "gelu", "clip": "quick_gelu"}
"""What `config.model.vit.activation=auto` stands for in each transformer: what its published weights have."""


def traits_of(name: str) -> BackboneTraits:
    """Look a backbone up by its name.

    Raises:
        ValueError: there is no such backbone; those there are are named.
    """
    if name not in TRAITS:
        raise ValueError(f"config.model.backbone is {name!r}; choose one of {', '.join(TRAITS)}")
    return TRAITS[name]
