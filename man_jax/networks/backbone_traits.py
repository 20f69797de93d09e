"""The facts about each backbone that the configuration and the readers of weights need; imports no JAX.

A new backbone is an entry here and a function of the same name in `backbones.py`.
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

from man_jax.networks.msinet_keys import msinet_problems

Architecture = Literal["resnet", "transformer", "msinet"]
Activation = Literal["gelu", "quick_gelu"]


class BackboneTraits(NamedTuple):
    """The facts about a backbone that are needed before it is built."""

    architecture: Architecture
    keys: tuple[str, ...]
    """Its keys in `config.model`; its function in `backbones.py` takes the last parts of their names."""
    has_stages: bool
    """Whether it gives maps stage by stage, which mixing, parts and `model.remat=stage` need."""
    has_positions: bool
    """Whether its weights are those of one grid of patches, and so of one size of images."""
    last_stage: Callable[[Any], int] | None = None
    """Gives the number of its last stage for the keys `config.model`; the stem is stage 0. None: it has no stages."""
    problems: Callable[[Any, tuple[int, int]], Iterable[tuple[str, str]]] | None = None
    """Finds what is wrong with its keys in `config.model` for images of (H, W): pairs of a key and what to do."""


_RESNET = tuple(
    f"model.{name}" for name in ("stage_sizes", "width", "last_stride", "stem_relu", "block", "convolution")
)
_TRANSFORMER = tuple(
    f"model.vit.{name}" for name in ("patch", "stride", "width", "depth", "heads", "projection", "activation")
)
_MSINET = (
    *(f"model.msinet.{name}" for name in ("widths", "interactions", "half_channels")),
    "model.convolution",
)

TRAITS = {
    "resnet": BackboneTraits(
        "resnet",
        _RESNET,
        has_stages=True,
        has_positions=False,
        last_stage=lambda model: len(model.stage_sizes),
    ),
    "vit": BackboneTraits("transformer", _TRANSFORMER, has_stages=False, has_positions=True),
    "clip": BackboneTraits("transformer", _TRANSFORMER, has_stages=False, has_positions=True),
    "msinet": BackboneTraits(
        "msinet",
        _MSINET,
        has_stages=True,
        has_positions=False,
        # The halves' features are of maps before the last stage.
        last_stage=lambda model: len(model.msinet.widths) - 1 - (model.msinet.half_channels > 0),
        problems=lambda model, image_size: msinet_problems(model.msinet, image_size),
    ),
}
"""The traits of each backbone, by its name in `config.model.backbone`."""

AUTO_ACTIVATION: dict[str, Activation] = {"vit": "gelu", "clip": "quick_gelu"}
"""The meaning of `config.model.vit.activation=auto` in each transformer: the activation of its published weights."""


def traits_of(name: str) -> BackboneTraits:
    """Look a backbone up by its name.

    Raises:
        ValueError: there is no such backbone; the message names those that exist.
    """
    if name not in TRAITS:
        raise ValueError(f"config.model.backbone is {name!r}; choose one of {', '.join(TRAITS)}")
    return TRAITS[name]
