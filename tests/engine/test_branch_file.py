"""The file of a branch or of a whole run that `python -m man_jax.export` writes, and what it refuses."""

from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors import safe_open

from man_jax.config import ConfigError
from man_jax.configs import default
from man_jax.engine import branch_file as export
from man_jax.engine.build import build_model
from man_jax.engine.initial_weights import place_backbone, read_backbone
from man_jax.engine.network_facts import network_facts
from man_jax.engine.run_weights import branches_of
from man_jax.frame import ByDomain, TrainState
from man_jax.networks.pretrained.errors import WeightsError
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
    """Writes the file of a branch, or of all."""

    def write(place: int | None, *, half: bool = False) -> Path:
        path = tmp_path / "branch.safetensors"
        facts = network_facts(config, Path("/home/me/runs/tiny"), "step 7")
        path.write_bytes(export.written(facts, variables, place=place, half=half))
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
    assert (about["modalities"], about["backbone"], about["run"]) == ("R,N", "resnet", "tiny")
    assert f"jax {jax.__version__}" in about["versions"]


def test_the_file_tells_no_path_of_the_machine(file):
    assert b"/home/me" not in file(0).read_bytes()


def test_the_same_weights_give_the_same_bytes(file):
    assert len({file(0).read_bytes() for _ in range(8)}) == 1


def test_a_branch_that_is_not_there_is_refused_by_name(config):
    with pytest.raises(ConfigError, match="--modality T; choose one of R, N, the branches of run, or leave"):
        export.named_branch("T", config, Path("run"))


def test_without_a_name_it_is_the_only_branch_or_the_whole_run(config):
    alone = config.copy_and_resolve_references()
    alone.model.modalities = ("T",)
    assert export.named_branch(None, alone, Path("run")) == 0
    assert export.named_branch(None, config, Path("run")) is None
    assert export.named_branch("N", config, Path("run")) == 1


# --- a whole run in one file


def pretrained(config, path: Path, *modalities: str):
    model = config.copy_and_resolve_references().model
    model.update(pretrained=str(path), modalities=modalities)
    return model


def branches(tree):
    return {name: tree[name]["branches"] for name in ("params", "batch_stats")}


@pytest.mark.parametrize(("half", "tolerance"), [(False, 0), (True, 1e-3)])
def test_a_whole_run_s_file_gives_every_branch_and_its_neck_back(file, config, variables, half, tolerance):
    path = file(None, half=half)
    found = branches_of(read_arrays(path), path, config.model, SIZE)
    for actual, wanted in zip(*map(jax.tree.leaves, (found, branches(variables))), strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=tolerance, atol=tolerance)


def test_a_run_starts_each_of_its_branches_from_its_own_in_its_own_order(file, config, variables):
    begun = read_backbone(pretrained(config, file(None), "N", "R"), SIZE)
    own = {name: tree["backbone"] for name, tree in branches(variables).items()}
    swapped = jax.tree.map(lambda leaf: np.asarray(leaf)[::-1], own)
    jax.tree.map(np.testing.assert_array_equal, begun.variables, swapped)
    assert "the branches N, R start from their own of" in begun.description


def test_branches_that_are_not_needed_are_named(file, config):
    begun = read_backbone(pretrained(config, file(None), "N"), SIZE)
    assert begun.description.endswith("not used: the branches R")


def test_a_modality_that_the_file_lacks_is_refused_before_any_data_is_read(file, config):
    with pytest.raises(
        ConfigError, match=r"pretrained: .*it has the branches N, R and none of T; choose config\.model"
    ):
        read_backbone(pretrained(config, file(None), "R", "N", "T"), SIZE)


def test_necks_of_a_whole_run_s_file_go_into_a_new_state(file, config, variables):
    begun = read_backbone(pretrained(config, file(None), "R", "N"), SIZE)
    other = jax.tree.map(lambda leaf: leaf + 1, variables)
    statistics = ByDomain(other["batch_stats"], other["batch_stats"])
    state = TrainState(np.int32(0), other["params"], statistics, (), jax.random.key(0))
    placed = place_backbone(state, begun)
    for found in (placed.params["branches"], variables["params"]["branches"]):
        assert set(found) == {"backbone", "neck"}
    jax.tree.map(np.testing.assert_array_equal, placed.params["branches"], variables["params"]["branches"])
    jax.tree.map(
        np.testing.assert_array_equal,
        placed.statistics.target["branches"],
        variables["batch_stats"]["branches"],
    )


def test_a_neck_of_another_length_is_refused_by_name(file, config):
    path = file(None)
    arrays = read_arrays(path)
    arrays["N.neck.running_var"] = arrays["N.neck.running_var"][:5]
    with pytest.raises(WeightsError, match=r"N\.neck\.running_var is \[5\] and should be \[128\]"):
        branches_of(arrays, path, config.model, SIZE)


# --- position embeddings


@pytest.fixture(scope="module")
def transformer():
    """A ViT of images of 16 × 4 patches: as many as a square of 8 × 8 has."""
    config = default.get_config()
    config.data.image_size = (64, 16)
    config.model.update(backbone="vit", modalities=("R", "N"))
    config.model.vit.update(patch=4, stride=4, width=8, depth=1, heads=2)
    model = build_model(config.model, num_classes=3)
    draw = jax.jit(lambda key: model.init(key, (64, 16)), compiler_options=QUICKLY)
    return config, jax.tree.map(np.asarray, draw(jax.random.key(0)))


@pytest.mark.parametrize("place", [0, None])
def test_positions_of_our_own_images_are_not_taken_for_those_of_a_square(transformer, place, tmp_path):
    config, variables = transformer
    path = tmp_path / "vit.safetensors"
    path.write_bytes(
        export.written(network_facts(config, Path("run"), "step 7"), variables, place=place, half=False)
    )
    begun = read_backbone(pretrained(config, path, "R", "N"), (64, 16))
    found = begun.variables["params"]["position"]
    wanted = variables["params"]["branches"]["backbone"]["position"]
    np.testing.assert_array_equal(found, wanted if place is None else wanted[0])
    with pytest.raises(
        ConfigError, match=r"those of images of 64x16, and config\.data\.image_size is \(32, 32\)"
    ):
        read_backbone(pretrained(config, path, "R", "N"), (32, 32))
