"""The examples of docs/USING.md and of the docstrings run, in a folder that has what they name."""

import inspect
import re
import shlex
import textwrap
from pathlib import Path

import pytest

import man_jax
from man_jax import trained_run
from man_jax.engine import training_run
from tests.small_run import write_noise, write_run, write_set, write_triples

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/USING.md").read_text(encoding="utf-8")
TOLD = {
    "open_run": trained_run.open_run,
    "features": trained_run.TrainedRun.features,
    "rank": trained_run.TrainedRun.rank,
    "evaluate": trained_run.TrainedRun.evaluate,
    "train": man_jax.train,
    "man_jax": man_jax,
    "trained_run": trained_run,
}
SHORT = {"/data/RGBNT100": "data/mine", "1_rgb.jpg": "r.jpg", "1_nir.png": "n.jpg", "1_tir.png": "t.jpg"}
"""Places of the docstrings, and where they are in the test."""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("using")
    write_set(place)
    (place / "runs").mkdir()
    write_run(place).rename(place / "runs/demo")
    (place / "data").mkdir()
    (place / "data/mine").symlink_to(place / "mine")
    write_triples(place / "photos", tuple(f"{number}.jpg" for number in range(6)), seed=3)
    for seed, name in enumerate(("r.jpg", "n.jpg", "t.jpg")):
        write_noise(place / name, seed)
    return place


@pytest.fixture
def names(place, monkeypatch, capsys):
    """What the examples begin with; training is only called, because other tests train."""
    import numpy as np

    monkeypatch.chdir(place)
    monkeypatch.setattr(training_run, "train_or_resume", lambda *_: {"adapted": {"mAP": 0.5}})
    monkeypatch.setattr("man_jax.training.load_experiment", _from_the_project(man_jax.train))
    with capsys.disabled():
        yield {
            "man_jax": man_jax,
            "run": man_jax.open_run("runs/demo"),
            "array": np.zeros((2, 3, 20, 10, 3), np.uint8),
        }


def _from_the_project(train):
    """Load an experiment by a path that counts from the project's folder."""
    load = inspect.unwrap(train).__globals__["load_experiment"]
    return lambda name: load(str(ROOT / name))


def examples(text: str) -> str:
    """The lines of a docstring that are set in and are code, without those of its sections."""
    body = text.split("Args:")[0].split("Raises:")[0]
    return textwrap.dedent("\n".join(re.findall(r"^ {4}\S.*$|^ {8,}\S.*$", body, flags=re.M)))


def test_every_example_of_the_page_runs_after_those_before_it(names, place):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.M | re.S)
    assert len(blocks) >= 8
    for block in blocks:
        exec(block, names)
    assert names["file"].features.shape[0] == 6
    assert len(names["ranking"].paths[0]) == 5
    assert (place / "gallery.npz").is_file()


@pytest.mark.parametrize("name", TOLD)
def test_the_example_of_a_docstring_runs(names, name):
    code = examples(inspect.getdoc(TOLD[name]) or "")
    assert "run" in code
    for there, here in SHORT.items():
        code = code.replace(there, here)
    exec(code, names)


def test_every_public_function_is_on_the_page_and_has_an_example():
    for name in ("train", "open_run"):
        assert f"man_jax.{name}(" in PAGE
    for name in ("features", "rank", "evaluate"):
        assert f"run.{name}(" in PAGE


def test_every_flag_of_the_command_that_the_page_names_is_there():
    source = (ROOT / "man_jax/predict.py").read_text(encoding="utf-8")
    there = set(re.findall(r'(?:define_path|DEFINE_\w+)\(\s*"(\w+)"', source))
    part = PAGE[PAGE.index("From a command line:") : PAGE.index("## Rank")]
    told = set(re.findall(r"--(\w+)", part))
    assert told == there
    [command] = re.findall(r"^ {4}(python -m man_jax\.predict .*)$", PAGE, flags=re.M)
    assert {"--run", "--data", "--out"} <= set(shlex.split(command))
