"""The program that `python -m man_jax.export --format stablehlo` writes: it runs where this package is not."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import export

from man_jax.config import ConfigError
from man_jax.configs import default
from man_jax.engine.build import build_model, build_normalization
from man_jax.engine.extract import make_extract
from man_jax.engine.features_program import PLATFORMS, check_room, features_program, stablehlo
from man_jax.sharding import make_mesh
from tests.engine.tiny import QUICKLY
from tests.quick_programs import QUICK

SIZE, BATCHES = (32, 32), (1, 3, 8)
TOLERANCE = 1e-6
"""Of numbers of at most 1: the file's program and our own are compiled apart, so they round apart."""

ALONE = """
import json, sys
sys.path = [place for place in sys.path if place and place != sys.argv[1]]
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
import numpy as np
from jax import export

with open("features.stablehlo", "rb") as file:
    program = export.deserialize(bytearray(file.read()))
images = np.load("images.npz")
found = {}
for name in images.files:
    features = program.call(images[name])
    found |= {f"{part}{name}": np.asarray(values) for part, values in features.items()}
np.savez("features.npz", **found)
print(json.dumps(sorted(name for name in sys.modules if name.split(".")[0] in sys.argv[2].split(","))))
"""
OURS = "man_jax,data_pipelines,configs,flax,optax,orbax,ml_collections"


@pytest.fixture(scope="module")
def config():
    config = default.get_config()
    config.data.image_size = SIZE
    config.model.update(stage_sizes=(1,), width=4, modalities=("R", "T"))
    config.augment.update(mean=(0.1, 0.2, 0.3), std=(0.5, 0.4, 0.3))
    return config


@pytest.fixture(scope="module")
def variables(config):
    model = build_model(config.model, num_classes=3)
    drawn = jax.jit(lambda key: model.init(key, SIZE), compiler_options=QUICKLY)(jax.random.key(0))
    rng = np.random.default_rng(0)  # statistics, scales and biases that matter
    return jax.tree.map(lambda leaf: np.asarray(leaf + 0.1 * rng.random(leaf.shape), np.float32), drawn)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(1)
    return {str(batch): rng.integers(0, 256, (batch, 2, *SIZE, 3), np.uint8) for batch in BATCHES}


@pytest.fixture(scope="module")
def content(config, variables) -> bytes:
    return stablehlo(config, variables)


@pytest.fixture(scope="module")
def alone(content, images, tmp_path_factory) -> tuple[dict[str, np.ndarray], list[str]]:
    """The features that a program without this project computes, and which of our modules it has imported."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "features.stablehlo").write_bytes(content)
    np.savez(folder / "images.npz", **images)
    project = str(Path(__file__).parents[2])
    result = subprocess.run(
        [sys.executable, "-c", ALONE, project, OURS],
        cwd=folder,
        env={**QUICK, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    with np.load(folder / "features.npz") as found:
        return dict(found), json.loads(result.stdout.splitlines()[-1])


def test_the_file_runs_where_only_jax_and_numpy_are_imported(alone):
    assert alone[1] == []


@pytest.fixture(scope="module")
def extract(config):
    """Our own program, in the form of this platform."""
    model = build_model(config.model, num_classes=0)
    return make_extract(model, build_normalization(config), make_mesh(jax.devices()[:1]))


@pytest.mark.parametrize("batch", [str(batch) for batch in BATCHES])
def test_one_file_gives_our_features_for_every_number_of_triples(alone, extract, variables, images, batch):
    modal, fused, _ = jax.device_get(extract(variables, images[batch]))
    np.testing.assert_allclose(alone[0][f"fused{batch}"], fused, atol=TOLERANCE)
    np.testing.assert_allclose(alone[0][f"modal{batch}"], np.moveaxis(modal, 0, 1), atol=TOLERANCE)


def test_the_program_is_there_for_every_platform_and_any_number_of_triples(content):
    program = export.deserialize(bytearray(content))
    assert program.platforms == PLATFORMS
    (images,) = program.in_avals
    assert (images.shape[1:], images.dtype) == ((2, *SIZE, 3), np.uint8)
    assert not isinstance(images.shape[0], int)


def test_what_is_trained_as_a_cpu_trains_is_exported_in_the_form_of_every_platform(config, variables):
    config = config.copy_and_resolve_references()
    config.model.update(convolution="taps", application="vmap")
    shape = jax.ShapeDtypeStruct((2, 2, *SIZE, 3), np.uint8)
    operations = str(jax.make_jaxpr(features_program(config, variables))(shape))
    assert "conv_general_dilated" in operations
    assert config.model.convolution == "taps"


def test_weights_that_the_format_cannot_hold_are_refused(variables):
    with pytest.raises(
        ConfigError, match=r"bytes, and a file of stablehlo or onnx holds 100; use --format safetensors"
    ):
        check_room(variables, largest=100)
