"""What the function of training hands on: the experiment, changed and checked, and its work directory."""

from pathlib import Path

import pytest

import man_jax
from configs import demo
from man_jax.config import ConfigError
from man_jax.engine import training_run


@pytest.fixture
def trained(monkeypatch):
    """The configurations and the work directories that training is called with."""
    calls: list = []
    monkeypatch.setattr(
        training_run,
        "train_or_resume",
        lambda config, workdir: calls.append((config, workdir)) or {"adapted": {}},
    )
    return calls


@pytest.mark.parametrize("given", ["configs/demo.py:smoke", Path("configs/demo.py:smoke"), "demo:smoke"])
def test_an_experiment_is_named_by_its_path_or_its_name(trained, given, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[1])
    assert man_jax.train(given, "runs/x") == {"adapted": {}}
    [(config, workdir)] = trained
    assert config.to_dict() == demo.get_config("smoke").to_dict()
    assert workdir == Path("runs/x")


def test_a_configuration_is_taken_and_stays_as_it_was(trained):
    given = demo.get_config("smoke")
    man_jax.train(given, changes={"seed": 7, "man.alpha": 0.25})
    [(config, workdir)] = trained
    assert (config.seed, config.man.alpha, workdir) == (7, 0.25, Path("runs/demo-smoke"))
    assert given.to_dict() == demo.get_config("smoke").to_dict()


def test_the_home_folder_is_read_in_every_path(trained, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    man_jax.train("demo", "~/run", changes={"data.prepared": "~/prepared"})
    [(config, workdir)] = trained
    assert (config.data.prepared, workdir) == (str(tmp_path / "prepared"), tmp_path / "run")


@pytest.mark.parametrize(
    ("given", "changes", "message"),
    [
        ("configs/none.py", {}, "does not exist"),
        ("demo:nonsense", {}, "nonsense"),
        ({"seed": 1}, {}, "config is dict; give configs/NAME.py"),
        ("demo", {"sede": 1}, "there is no key config.sede"),
        ("demo", {"seed": "one"}, "seed"),
        ("demo", {"man.alpha": -1.0}, "config.man.alpha is -1.0"),
    ],
)
def test_a_mistake_is_told_before_any_training(trained, given, changes, message):
    with pytest.raises(ConfigError) as caught:
        man_jax.train(given, "runs/x", changes=changes)
    assert message in str(caught.value)
    assert trained == []
