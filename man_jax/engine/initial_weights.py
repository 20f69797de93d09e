"""Read the weights that every branch starts from, if `config.model.pretrained` names a file of them."""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from man_jax.config import Config, ConfigError
from man_jax.engine.build import build_backbone
from man_jax.engine.run_weights import branches_of, grid_for
from man_jax.frame import TRAINED, ByDomain, TrainState
from man_jax.networks.pretrained.errors import WeightsError
from man_jax.networks.pretrained.files import Arrays, read_arrays
from man_jax.networks.pretrained.matching import list_names, match_weights
from man_jax.networks.pretrained.run_names import branch_letters
from man_jax.networks.three_branch import Variables, with_backbone
from man_jax.runs.starting_weights import file_digest, locate_weights

NAMED = 24
"""At most this many unused arrays are named in the log; the heads of known code bases have fewer."""


class InitialBackbone(NamedTuple):
    """The variables {params, batch_stats} that every branch starts from, and where they come from."""

    variables: Variables
    """Those of one backbone, or, with the modality axis, those of each branch."""
    description: str
    """For the log: the file, its digest, the library whose names it has, and the arrays that are not used."""
    necks: Variables | None = None
    """The necks of all branches, if the file is of a whole run."""


def read_backbone(model: Config, image_size: tuple[int, int]) -> InitialBackbone | None:
    """Read the backbone from `config.model.pretrained`, a path or a file of the hub; None if that is empty.

    From a file of a whole run each branch gets its own backbone and neck.

    Raises:
        ConfigError: the file cannot be read, or is not the network of `config.model`.
    """
    if not model.pretrained:
        return None
    path = None
    try:
        path = locate_weights(model.pretrained)
        arrays = read_arrays(path)
        read = _of_whole_run if branch_letters(arrays) else _of_one_backbone
        return read(arrays, path, model, image_size)
    except WeightsError as error:
        about = str(error) if path is None or str(path) in str(error) else f"{path}: {error}"
        raise ConfigError(f"config.model.pretrained: {about}") from None


def _of_one_backbone(
    arrays: Arrays, path: Path, model: Config, image_size: tuple[int, int]
) -> InitialBackbone:
    backbone = build_backbone(model)
    image = jax.ShapeDtypeStruct((1, *image_size, 3), jnp.float32)
    like = jax.eval_shape(lambda key, x: backbone.init(key, x, train=False), jax.random.key(0), image)
    matched = match_weights(arrays, like, family=model.backbone, grid=grid_for(path, model, image_size))
    unused = f"; not used: {list_names(matched.unused, NAMED)}" if matched.unused else ""
    notes = "".join(f"; note: {note}" for note in matched.notes)
    prefix = f" behind {matched.prefix!r}" if matched.prefix else ""
    return InitialBackbone(
        matched.variables,
        f"every branch starts from {path} (sha256 {file_digest(path)}, names of {matched.title}{prefix})"
        f"{unused}{notes}",
    )


def _of_whole_run(arrays: Arrays, path: Path, model: Config, image_size: tuple[int, int]) -> InitialBackbone:
    branches = branches_of(arrays, path, model, image_size)
    parts = [
        {name: tree[part] for name, tree in branches.items() if part in tree} for part in ("backbone", "neck")
    ]
    unused = [letter for letter in branch_letters(arrays) if letter not in model.modalities]
    told = f"; not used: the branches {', '.join(unused)}" if unused else ""
    return InitialBackbone(
        parts[0],
        f"the branches {', '.join(model.modalities)} start from their own of {path} (sha256 {file_digest(path)})"
        f"{told}",
        parts[1],
    )


def place_backbone(state: TrainState, backbone: InitialBackbone) -> TrainState:
    """Put the backbone into every branch of a new state, and its running statistics into those of both domains."""
    variables = with_backbone(TRAINED.variables(state, "source"), backbone.variables)
    if backbone.necks is not None:
        variables = with_backbone(variables, backbone.necks, part="neck")
    statistics = ByDomain(variables["batch_stats"], variables["batch_stats"])
    return state.replace(params=variables["params"], statistics=statistics)
