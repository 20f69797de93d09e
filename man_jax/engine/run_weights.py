"""Read the branches of a network from a file of a whole run or a folder of the hub (`python -m man_jax.export`)."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp

from man_jax.config import Config, ConfigError
from man_jax.engine.build import build_backbone, build_model
from man_jax.networks.backbone_traits import traits_of
from man_jax.networks.pretrained.errors import WeightsError
from man_jax.networks.pretrained.files import Arrays, read_arrays, read_metadata
from man_jax.networks.pretrained.run_names import match_run
from man_jax.networks.three_branch import Variables
from man_jax.runs.published import WEIGHTS

SIZE = re.compile(r"(\d+)x(\d+)")


def branches_of(arrays: Arrays, path: Path, model: Config, image_size: tuple[int, int]) -> Variables:
    """Take {params, batch_stats} of all branches, with the modality axis, from the arrays of the file at `path`.

    Raises:
        WeightsError: the file is of another network, of other modalities or of images of another size.
    """
    branch = build_model(model, num_classes=0).branch
    image = jax.ShapeDtypeStruct((1, *image_size, 3), jnp.float32)
    like = jax.eval_shape(lambda key, x: branch.init(key, x, train=False), jax.random.key(0), image)
    grid = grid_for(path, model, image_size)
    return match_run(arrays, like, tuple(model.modalities), family=model.backbone, grid=grid)


def read_published(folder: Path, config: Config, *, pretrained: bool) -> tuple[Variables, str]:
    """Read all branches from a folder of the hub, and say of which weights of their run they are.

    Raises:
        ConfigError: they cannot be read, are not the network of `config`, or are not those before adaptation.
    """
    path = folder / WEIGHTS
    try:
        arrays = read_arrays(path)
        description = read_metadata(path).get("weights", "unknown weights")
        if pretrained and description != "pre-trained":
            raise ConfigError(f"{folder} holds the weights of {description} only; leave --pretrained out")
        branches = branches_of(arrays, path, config.model, tuple(config.data.image_size))
    except WeightsError as error:
        raise ConfigError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    return {name: {"branches": tree} for name, tree in branches.items()}, description


def grid_for(path: Path, model: Config, image_size: tuple[int, int]) -> tuple[int, int] | None:
    """Find the grid to which the file's position embeddings are to be resampled; None if they stay as they are.

    A file of our own says for which images it was made; all others are of square ones.

    Raises:
        WeightsError: the file is of images of another size that are not square.
    """
    if not traits_of(model.backbone).has_positions:
        return None
    backbone = build_backbone(model)
    told = SIZE.fullmatch(read_metadata(path).get("image_size", ""))
    if told is None:
        return backbone.grid(image_size)  # pyright: ignore[reportAttributeAccessIssue]
    made_for = int(told[1]), int(told[2])
    if made_for == tuple(image_size):
        return None
    rows, columns = backbone.grid(made_for)  # pyright: ignore[reportAttributeAccessIssue]
    if rows != columns:
        raise WeightsError(
            f"its position embeddings are those of images of {told[0]}, and config.data.image_size is "
            f"{tuple(image_size)}; set that to {made_for}"
        )
    return backbone.grid(image_size)  # pyright: ignore[reportAttributeAccessIssue]
