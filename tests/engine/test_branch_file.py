"""The file of a branch that `python -m man_jax.export` writes, and what it refuses."""

from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors import safe_open

from man_jax.config import ConfigError
from man_jax.configs import default
from man_jax.engine import branch_file as export
from man_jax.engine.build import build_model
from man_jax.networks.pretrained.files import read_arrays
from man_jax.networks.pretrained.matching import match_weights
from man_jax.networks.three_branch import backbone_of
from tests.engine.tiny import QUICKLY

SIZE = (32, 16)


@pytest.fixture(scope="module")
def config():
    config = default.get_config()
    config.experiment = "tiny"
    config.data.image_size = SIZE
    config.model.update(stage_sizes=(1, 1, 1, 1), width=4, modalities=("R", "N"))
    return config


@pytest.fixture(scope="module")
def variables(config):
    model = build_model(config.model, num_classes=3)
    drawn = jax.jit(lambda key: model.init(key, SIZE), compiler_options=QUICKLY)(jax.random.key(0))
    return jax.tree.map(np.asarray, drawn)


@pytest.fixture
def file(config, variables, tmp_path):
    """Writes the file of a branch."""

    def write(place: int, *, half: bool = False) -> Path:
        path = tmp_path / "branch.safetensors"
        path.write_bytes(export.written(config, variables, "step 7", place=place, half=half))
        return path

    return write


@pytest.mark.parametrize(("half", "tolerance"), [(False, 0), (True, 1e-3)])
def test_the_file_gives_the_branch_back(file, variables, half, tolerance):
    expected = backbone_of(variables, 1)
    found = match_weights(read_arrays(file(1, half=half)), expected, family="resnet", grid=None)
    assert not found.unused
    for actual, wanted in zip(*map(jax.tree.leaves, (found.variables, expected)), strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=tolerance, atol=tolerance)


def test_the_file_says_what_its_weights_are(file):
    with safe_open(file(0), "numpy") as opened:
        about = opened.metadata()
    assert (about["format"], about["experiment"], about["modality"]) == ("pt", "tiny", "R")
    assert (about["weights"], about["image_size"]) == ("step 7", "32x16")
    assert about["mean"] == "(0.485, 0.456, 0.406)"


def test_the_same_weights_give_the_same_bytes(file):
    assert len({file(0).read_bytes() for _ in range(8)}) == 1


@pytest.mark.parametrize(
    ("modality", "told"),
    [(None, "--modality is missing; choose one of R, N"), ("T", "--modality T; choose one of R, N")],
)
def test_a_branch_that_is_not_there_is_refused_by_name(config, modality, told):
    with pytest.raises(ConfigError, match=told):
        export.named_branch(modality, config, Path("run"))


def test_the_only_branch_needs_no_name(config):
    alone = config.copy_and_resolve_references()
    alone.model.modalities = ("T",)
    assert export.named_branch(None, alone, Path("run")) == 0
    assert export.named_branch("N", config, Path("run")) == 1


def test_a_file_of_another_kind_is_refused():
    with pytest.raises(ConfigError, match="name a file that ends in"):
        export.check_out(Path("weights.pth"))
