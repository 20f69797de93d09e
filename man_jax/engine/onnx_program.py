"""Write the program from images to features as an ONNX model, by the library jax2onnx."""

import importlib.util
import json
import logging
from collections.abc import Mapping
from typing import Any

from man_jax.config import Config, ConfigError
from man_jax.engine.features_program import check_room, features_program, images_of
from man_jax.networks.three_branch import Variables

OUTPUTS = ("fused", "modal")
UNCONVERTED = ("msinet",)
"""Backbones that jax2onnx 0.17 was still converting after many minutes, small ones too."""

OPSET = 21
"""Of ONNX; onnxruntime knows it since 1.20."""


def check_onnx() -> None:
    """Check that jax2onnx is installed; ConfigError if it is not."""
    if importlib.util.find_spec("jax2onnx") is None:
        raise ConfigError(
            "--format onnx needs the package jax2onnx, which wants an older orbax-checkpoint (below 0.11.37): "
            'pip install "man_jax[onnx]", in an environment of its own if you like'
        )


def check_convertible(config: Config) -> None:
    """Check that jax2onnx can convert the network; ConfigError if it is known that it cannot."""
    if config.model.backbone in UNCONVERTED:
        raise ConfigError(
            f"config.model.backbone is {config.model.backbone}, whose conversion by jax2onnx does not end; use "
            f"--format stablehlo"
        )


def onnx_program(config: Config, variables: Variables, facts: Mapping[str, Any]) -> bytes:
    """Write the program for every number of triples; `facts` go into the metadata of the model as JSON.

    Raises:
        ConfigError: the weights do not fit into a file of this format, or the network has an operation that jax2onnx
            cannot convert.
    """
    from jax2onnx import to_onnx
    from onnx.helper import set_model_props

    check_room(variables)
    program = features_program(config, variables)

    def in_order(images: Any) -> tuple[Any, ...]:
        features = program(images)
        return tuple(features[name] for name in OUTPUTS)

    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # it warns of each shape that it leaves open
    try:
        model: Any = to_onnx(
            in_order,
            [images_of(config, "batch")],
            model_name="man_jax",
            opset=OPSET,
            input_names=["images"],
            output_names=list(OUTPUTS),
        )
    except (NotImplementedError, TypeError, ValueError, RuntimeError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(
            f"jax2onnx cannot convert this {config.model.backbone} ({first}); use --format stablehlo"
        ) from error
    # Its shapes of what is between are in another order than ONNX finds, which onnxruntime would warn of.
    del model.graph.value_info[:]
    set_model_props(model, {"man_jax": json.dumps(dict(facts))})
    return model.SerializeToString(deterministic=True)
