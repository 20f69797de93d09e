"""Read the weights that every branch starts from, if `config.model.pretrained` names a file of them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from man_jax.config import Config, ConfigError
from man_jax.engine.build import build_backbone
from man_jax.frame import TRAINED, ByDomain, TrainState
from man_jax.networks.backbone_traits import traits_of
from man_jax.networks.pretrained.errors import WeightsError
from man_jax.networks.pretrained.files import read_arrays
from man_jax.networks.pretrained.matching import list_names, match_weights
from man_jax.networks.three_branch import Variables, with_backbone
from man_jax.runs.starting_weights import file_digest, locate_weights

NAMED = 24
"""At most this many unused arrays are named in the log; the heads of known code bases have fewer."""


class InitialBackbone(NamedTuple):
    """The variables {params, batch_stats} that every branch starts from, and where they come from."""

    variables: Variables
    description: str
    """For the log: the file, its digest, the library whose names it has, and the arrays that are not used."""


def read_backbone(model: Config, image_size: tuple[int, int]) -> InitialBackbone | None:
    """Read the backbone from `config.model.pretrained`, a path or a file of the hub; None if that is empty.

    Raises:
        ConfigError: the file cannot be read, or is not the network of `config.model`.
    """
    if not model.pretrained:
        return None
    backbone = build_backbone(model)
    image = jax.ShapeDtypeStruct((1, *image_size, 3), jnp.float32)
    like = jax.eval_shape(lambda key, x: backbone.init(key, x, train=False), jax.random.key(0), image)
    grid = backbone.grid(image_size) if traits_of(model.backbone).has_positions else None
    path = None
    try:
        path = locate_weights(model.pretrained)
        matched = match_weights(read_arrays(path), like, family=model.backbone, grid=grid)
    except WeightsError as error:
        about = str(error) if path is None or str(path) in str(error) else f"{path}: {error}"
        raise ConfigError(f"config.model.pretrained: {about}") from None
    unused = f"; not used: {list_names(matched.unused, NAMED)}" if matched.unused else ""
    notes = "".join(f"; note: {note}" for note in matched.notes)
    prefix = f" behind {matched.prefix!r}" if matched.prefix else ""
    return InitialBackbone(
        matched.variables,
        f"every branch starts from {path} (sha256 {file_digest(path)}, names of {matched.title}{prefix})"
        f"{unused}{notes}",
    )


def place_backbone(state: TrainState, backbone: InitialBackbone) -> TrainState:
    """Put the backbone into every branch of a new state, and its running statistics into those of both domains."""
    variables = with_backbone(TRAINED.variables(state, "source"), backbone.variables)
    statistics = ByDomain(variables["batch_stats"], variables["batch_stats"])
    return state.replace(params=variables["params"], statistics=statistics)
