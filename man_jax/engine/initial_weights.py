"""What the branches start from: a file of weights that others trained, or nothing."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from man_jax.config import Config, ConfigError
from man_jax.engine.build import build_backbone
from man_jax.engine.state import Statistics, TrainState
from man_jax.networks.pretrained.errors import WeightsError
from man_jax.networks.pretrained.files import read_arrays
from man_jax.networks.pretrained.hub import locate
from man_jax.networks.pretrained.matching import fit, listed
from man_jax.networks.three_branch import Variables, with_backbone
from man_jax.networks.vit import ViT
from man_jax.runs.checkpoint import CHECKPOINTS, PRETRAINED
from man_jax.runs.recovery import saved_steps
from man_jax.runs.seal import content_digest

NAMED = 24
"""So many arrays that are not used the log names; the heads of known code bases have fewer."""


class InitialBackbone(NamedTuple):
    """The variables {params, batch_stats} that every branch starts from, and where they come from."""

    variables: Variables
    description: str
    """For the log: the file, its digest, whose names it has and what in it was not needed."""


def read_backbone(model: Config, image_size: tuple[int, int]) -> InitialBackbone | None:
    """The backbone of `config.model.pretrained`, a path or a file of the hub, or None if that is empty.

    Raises:
        ConfigError: the file cannot be read, or is not the network of `config.model`.
    """
    if not model.pretrained:
        return None
    backbone = build_backbone(model)
    image = jax.ShapeDtypeStruct((1, *image_size, 3), jnp.float32)
    like = jax.eval_shape(lambda key, x: backbone.init(key, x, train=False), jax.random.key(0), image)
    grid = backbone.grid(image_size) if isinstance(backbone, ViT) else None
    path = None
    try:
        path = locate(model.pretrained)
        fitted = fit(read_arrays(path), like, family=model.backbone, grid=grid)
    except WeightsError as error:
        about = str(error) if path is None or str(path) in str(error) else f"{path}: {error}"
        raise ConfigError(f"config.model.pretrained: {about}") from None
    unused = f"; not used: {listed(fitted.unused, NAMED)}" if fitted.unused else ""
    notes = "".join(f"; note: {note}" for note in fitted.notes)
    prefix = f" behind {fitted.prefix!r}" if fitted.prefix else ""
    return InitialBackbone(
        fitted.variables,
        f"every branch starts from {path} (sha256 {_digest(path)}, names of {fitted.title}{prefix}){unused}{notes}",
    )


def place_backbone(state: TrainState, backbone: InitialBackbone) -> TrainState:
    """A new state with that backbone in every branch and in the running statistics of both domains."""
    variables = with_backbone(state.variables("source"), backbone.variables)
    statistics = Statistics(variables["batch_stats"], variables["batch_stats"])
    return state.replace(params=variables["params"], statistics=statistics)


def weights_digest(key: str, value: str) -> str:
    """Of the weights that `key` of default.WEIGHTS names, wherever they are; "" if they cannot be had."""
    try:
        if key == "model.pretrained":
            path = locate(value)
            return _digest(path) if path.is_file() else ""
        workdir = Path(value)
        if key == "pretrain.init_from":
            return content_digest(workdir / PRETRAINED) if (workdir / PRETRAINED).is_dir() else ""
        steps = saved_steps(workdir / CHECKPOINTS)
        return content_digest(workdir / CHECKPOINTS / str(steps[0])) if steps else ""
    except (WeightsError, OSError):
        return ""


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
