"""An experiment is found by its name from every folder, and a file of the same name is found by its path."""

import sys
from pathlib import Path

import pytest

from man_jax.config import ConfigError
from man_jax.experiment_flags import check_experiment, load_experiment
from man_jax.experiment_names import FOLDER, experiment_names, with_paths
from man_jax.runs.starting_weights import locate_weights

DEMO = f"{FOLDER / 'demo.py'}"


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("words", "written"),
    [
        (["--config", "demo"], ["--config", DEMO]),
        (["--config=demo:no_cpa+smoke"], [f"--config={DEMO}:no_cpa+smoke"]),
        (["-config", "demo:plus", "--config.seed=3"], ["-config", f"{DEMO}:plus", "--config.seed=3"]),
        (["--config", "mine.py:demo"], ["--config", "mine.py:demo"]),
        (["--config=./demo.py"], ["--config=./demo.py"]),
        (["--config.data.source.name", "demo"], ["--config.data.source.name", "demo"]),
        (["--", "--config", "demo"], ["--", "--config", "demo"]),
        (["--config"], ["--config"]),
    ],
)
def test_a_name_is_written_as_a_path_and_nothing_else_is_changed(words, written):
    assert with_paths(["train", *words]) == ["train", *written]


@pytest.mark.parametrize("name", experiment_names())
def test_every_experiment_is_loaded_by_its_name_and_its_variants_too(name):
    assert load_experiment(name).experiment == name
    assert load_experiment(f"{name}:smoke").experiment == f"{name}-smoke"


def test_overrides_of_an_experiment_that_is_named_are_checked():
    with pytest.raises(ConfigError, match=r"config\.seed is 'x'"):
        check_experiment(["train", "--config", "demo:smoke", "--config.seed=x"])


def test_a_variant_that_does_not_exist_is_told_with_the_name():
    with pytest.raises(ConfigError, match=r"^--config demo:plsu: variant 'plsu' is none of .* mean plus"):
        check_experiment(["train", "--config=demo:plsu"])


def test_a_file_of_ones_own_is_not_taken_for_the_experiment_of_its_name():
    Path("demo.py").write_text(
        "from man_jax.configs import default\ndef get_config():\n    config = default.get_config()\n"
        "    config.experiment = 'own'\n    return config\n"
    )
    assert load_experiment("demo.py").experiment == "own"
    assert load_experiment("demo").experiment == "demo"


def test_an_experiment_that_imports_a_folder_which_is_not_there_is_told_its_name_in_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "configs", None)
    Path("mine.py").write_text("from configs import default\n")
    with pytest.raises(
        ConfigError, match=r"mine\.py, line 1: there is no module configs; write from man_jax"
    ):
        load_experiment("mine.py")


def test_the_weights_that_the_package_brings_are_found_from_every_folder():
    name = load_experiment("demo").model.pretrained
    assert not Path(name).exists()
    assert locate_weights(name) == FOLDER / "demo_start.safetensors"


def test_weights_of_ones_own_come_before_those_of_the_package():
    own = Path("configs/demo_start.safetensors")
    own.parent.mkdir()
    own.write_bytes(b"")
    assert locate_weights(str(own)) == own


@pytest.mark.parametrize(
    "name", ["configs/gone.safetensors", "else/demo_start.safetensors", "/a/configs/x.npz"]
)
def test_other_weights_that_do_not_exist_are_not_found(name):
    assert locate_weights(name) == Path(name)
