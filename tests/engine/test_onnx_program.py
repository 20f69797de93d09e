"""The ONNX model that `python -m man_jax.export --format onnx` writes, under onnxruntime."""

import json
import sys
from pathlib import Path

import jax
import numpy as np
import onnxruntime
import pytest

from man_jax.config import ConfigError
from man_jax.configs import default
from man_jax.engine.build import build_model
from man_jax.engine.exporting import Wish, check_wish, export
from man_jax.engine.features_program import features_program
from man_jax.engine.onnx_program import onnx_program
from tests.engine.tiny import QUICKLY

SIZE = (32, 32)
TOLERANCE = 1e-5
FACTS = {"modalities": ["R"], "image_size": [32, 32]}


@pytest.fixture(scope="module", params=["resnet", "clip"])
def program(request):
    """The features of JAX as a function, and a session of onnxruntime."""
    config = default.get_config()
    config.data.image_size = SIZE
    config.model.update(backbone=request.param, stage_sizes=(1,), width=4, modalities=("R",))
    config.model.vit.update(width=8, depth=1, heads=2)
    model = build_model(config.model, num_classes=0)
    drawn = jax.jit(lambda key: model.init(key, SIZE), compiler_options=QUICKLY)(jax.random.key(0))
    rng = np.random.default_rng(0)  # statistics, scales and biases that matter
    variables = jax.tree.map(lambda leaf: np.asarray(leaf + 0.1 * rng.random(leaf.shape), np.float32), drawn)
    content = onnx_program(config, variables, FACTS)
    return jax.jit(features_program(config, variables)), onnxruntime.InferenceSession(content)


def test_one_file_gives_our_features_for_every_number_of_triples(program):
    ours, session = program
    for batch in (1, 3, 8):
        images = np.random.default_rng(batch).integers(0, 256, (batch, 1, *SIZE, 3), np.uint8)
        expected = ours(images)
        fused, modal = session.run(["fused", "modal"], {"images": images})
        np.testing.assert_allclose(fused, expected["fused"], atol=TOLERANCE)
        np.testing.assert_allclose(modal, expected["modal"], atol=TOLERANCE)


def test_the_facts_are_inside(program):
    inside = program[1].get_modelmeta().custom_metadata_map["man_jax"]
    assert json.loads(inside) == FACTS


def test_a_network_that_is_not_converted_is_refused_before_any_weights_are_read():
    config = default.get_config()
    config.model.backbone = "msinet"
    with pytest.raises(
        ConfigError, match="is msinet, whose conversion by jax2onnx does not end; use --format stable"
    ):
        list(export(Wish(Path("x.onnx"), "onnx"), Path("no run"), config, pretrained=False))


def test_without_the_package_the_extra_is_named_before_any_weights_are_read(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(ConfigError, match=r"needs the package jax2onnx.*man_jax\[onnx\]"):
        check_wish(Wish(Path("x.onnx"), "onnx"))
