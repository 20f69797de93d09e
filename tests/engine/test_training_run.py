"""Of a run as a whole: by which paths it names its folders to the user."""

from pathlib import Path

import pytest

from man_jax.config import ConfigError
from man_jax.configs import demo
from man_jax.engine import training_run
from man_jax.runs.checkpoint import find_pretrained
from man_jax.runs.workdir import WorkdirError, check_workdir, claim_workdir
from man_jax.studies.planned_runs import check_planned_runs


def held_folder(base: Path) -> Path:
    """A work directory of another configuration."""
    other = demo.get_config("smoke")
    other.seed = 7
    with claim_workdir(base, other):
        return base


def test_a_relative_work_directory_is_refused_by_its_whole_path(tmp_path, monkeypatch):
    held_folder(tmp_path / "runs/mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training_run, "open_run", lambda config, workdir, **_: check_workdir(workdir, config))
    with pytest.raises(WorkdirError, match=f"^{tmp_path}/runs/mine holds a run of another configuration"):
        training_run.train_or_resume(demo.get_config("smoke"), Path("runs/mine"))


def test_a_relative_folder_of_compared_runs_is_refused_by_its_whole_path(tmp_path, monkeypatch):
    held_folder(tmp_path / "seeds/seed0-adapted")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("man_jax.studies.planned_runs.read", lambda *_: None)
    monkeypatch.setattr("man_jax.studies.planned_runs.check_data", lambda *_: None)
    with pytest.raises(WorkdirError, match=f"^{tmp_path}/seeds/seed0-adapted holds a run"):
        check_planned_runs(demo.get_config("smoke"), [0], Path("seeds"), rows=(), num_devices=1)


def test_a_relative_run_to_start_from_is_told_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"init_from: {tmp_path}/runs/none/pretrained does not exist"):
        find_pretrained(Path("runs/none"))
