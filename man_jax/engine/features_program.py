"""Make the program from images to features, with the weights inside, that runs without this package."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jaxtyping import Array, Float, UInt8

from man_jax.config import Config, ConfigError
from man_jax.engine.augment import normalize
from man_jax.engine.build import build_model, build_normalization
from man_jax.networks.three_branch import Variables, only_branches

PLATFORMS = ("cpu", "cuda", "tpu")
LARGEST = 2**31 - 2**20
"""Bytes of weights that the file can hold: its format counts in 32 bits, and the program needs some too."""

Program = Callable[[UInt8[Array, "B M H W 3"]], dict[str, Array]]


def features_program(config: Config, variables: Variables) -> Program:
    """Make the function from images to {fused: [B, M·D], modal: [B, M, D]}, both of unit length.

    It normalises the images itself. Convolutions are XLA's own and the branches run one after the other, on every
    platform: so the file holds one program, whose features are those of the CPU's own form up to rounding.
    """
    kept = only_branches(variables, range(len(config.model.modalities)))
    weights = jax.tree.map(np.asarray, kept)
    described = config.model.copy_and_resolve_references()
    described.update(convolution="lax", application="loop", remat="none")
    model, normalization = build_model(described, num_classes=0), build_normalization(config)

    def program(images: UInt8[Array, "B M H W 3"]) -> dict[str, Float[Array, "B ..."]]:
        features, _ = model.features(weights, normalize(images, normalization), train=False)
        return {"fused": features.fused_unit, "modal": jnp.moveaxis(features.modal_unit, 0, 1)}

    return program


def images_of(config: Config, batch: Any) -> jax.ShapeDtypeStruct:
    """Give the shape and type of the images that the program takes; `batch`: a number, or a name of any number."""
    return jax.ShapeDtypeStruct((batch, len(config.model.modalities), *config.data.image_size, 3), jnp.uint8)


def stablehlo(config: Config, variables: Variables) -> bytes:
    """Write the program for every platform and every number of triples, as `jax.export.deserialize` reads it.

    Raises:
        ConfigError: the weights do not fit into a file of this format.
    """
    check_room(variables)
    (batch,) = export.symbolic_shape("batch")
    program = jax.jit(features_program(config, variables))
    exported = export.export(program, platforms=PLATFORMS)(images_of(config, batch))
    return bytes(exported.serialize())


def check_room(variables: Variables, largest: int = LARGEST) -> None:
    """Check that the weights fit into one file of a program; ConfigError if they do not."""
    branches = [variables[name]["branches"] for name in ("params", "batch_stats")]
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(branches))
    if size > largest:
        raise ConfigError(
            f"the weights have {size:,} bytes, and a file of stablehlo or onnx holds {largest:,}; "
            f"use --format safetensors"
        )
