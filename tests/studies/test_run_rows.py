"""The runs of a study, shared by processes that do not know of each other."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from man_jax.config import ConfigError
from man_jax.configs import demo
from man_jax.runs.metrics import write_summary
from man_jax.runs.workdir import claim_workdir, in_use
from man_jax.studies import run_rows as module
from man_jax.studies import workers
from man_jax.studies.planned_runs import PlannedRun
from man_jax.studies.run_rows import run_rows
from tests.quick_programs import QUICK

ROOT = Path(__file__).parents[2]


def study(out: Path, *names: str, giver: str = "") -> dict:
    """Runs of seed 0; all but the giver start from its weights."""
    planned = {}
    for name in names:
        config = demo.get_config("smoke")
        config.pretrain.init_from = str(out / giver) if giver and name != giver else ""
        planned[0, name] = PlannedRun(config, out / name)
    return planned


@pytest.fixture
def begun(monkeypatch) -> list[str]:
    """Names of the runs that were run, in their order; a run takes no time."""
    names: list[str] = []

    def run(config, workdir):
        with claim_workdir(workdir, config):
            names.append(workdir.name)
            write_summary(workdir, {"adapted": {"mAP": 0.5}})

    monkeypatch.setattr(module, "train_or_resume", run)
    return names


def test_runs_go_in_their_order_and_finished_ones_are_only_read(tmp_path, begun):
    planned = study(tmp_path, "a", "b", "c")
    (tmp_path / "b").mkdir()
    write_summary(tmp_path / "b", {"adapted": {"mAP": float("nan")}})
    found = run_rows(planned)
    assert begun == ["a", "c"]
    assert list(found) == [*planned]
    assert found[0, "a"] == {"adapted": {"mAP": 0.5}}
    assert found[0, "b"]["adapted"]["mAP"] != found[0, "b"]["adapted"]["mAP"]


def test_a_run_of_another_process_is_passed_over_and_waited_for(tmp_path, begun, monkeypatch):
    planned = study(tmp_path, "a", "b")
    claim = claim_workdir(tmp_path / "a", planned[0, "a"].config)
    waits = []

    def wait(seconds):
        waits.append(seconds)
        assert begun == ["b"]
        if len(waits) == 2:
            write_summary(tmp_path / "a", {"adapted": {"mAP": 0.25}})
            claim.__exit__(None, None, None)

    monkeypatch.setattr(time, "sleep", wait)
    found = run_rows(planned)
    assert (begun, len(waits)) == (["b"], 2)
    assert found[0, "a"] == {"adapted": {"mAP": 0.25}}


def test_a_run_whose_process_ended_before_it_is_taken_over(tmp_path, begun, monkeypatch):
    planned = study(tmp_path, "a")
    claim = claim_workdir(tmp_path / "a", planned[0, "a"].config)
    monkeypatch.setattr(time, "sleep", lambda _: claim.__exit__(None, None, None))
    run_rows(planned)
    assert begun == ["a"]


def test_a_run_waits_for_the_weights_that_another_process_trains(tmp_path, begun, monkeypatch):
    planned = study(tmp_path, "a", "b", giver="a")
    claim = claim_workdir(tmp_path / "a", planned[0, "a"].config)

    def wait(_):
        assert not begun
        write_summary(tmp_path / "a", {})
        claim.__exit__(None, None, None)

    monkeypatch.setattr(time, "sleep", wait)
    run_rows(planned)
    assert begun == ["b"]


def test_a_run_that_another_process_takes_in_between_is_no_error(tmp_path, begun, monkeypatch):
    planned = study(tmp_path, "a")
    monkeypatch.setattr(module, "in_use", lambda _: False)
    claim = claim_workdir(tmp_path / "a", planned[0, "a"].config)
    monkeypatch.setattr(time, "sleep", lambda _: claim.__exit__(None, None, None))
    run_rows(planned)
    assert begun == ["a"]


def test_a_run_that_ends_while_one_looks_at_it_is_not_run_again(tmp_path, begun, monkeypatch):
    planned = study(tmp_path, "a")
    claim = claim_workdir(tmp_path / "a", planned[0, "a"].config)

    def ends_now(workdir):
        write_summary(workdir, {"adapted": {"mAP": 0.25}})
        claim.__exit__(None, None, None)
        return False

    monkeypatch.setattr(module, "in_use", ends_now)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    found = run_rows(planned)
    assert not begun
    assert found[0, "a"] == {"adapted": {"mAP": 0.25}}


def test_looking_leaves_a_folder_as_it_is(tmp_path):
    assert not in_use(tmp_path / "nowhere")
    assert not in_use(tmp_path)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("cores", "number", "expected"),
    [
        ([0, 1], 2, [[0], [1]]),
        ([2, 3, 5, 7, 11], 2, [[2, 3], [5, 7, 11]]),
        ([4], 1, [[4]]),
        (range(7), 3, [[0, 1], [2, 3], [4, 5, 6]]),
    ],
)
def test_each_core_is_one_worker_s(cores, number, expected):
    assert workers.shares(cores, number) == expected


def test_more_workers_than_cores_are_refused():
    with pytest.raises(ConfigError, match=r"--workers 3: there are 2 cores; write at most so many"):
        workers.shares([0, 1], 3)


# --- the command, with runs of a second that leave a line about themselves

PROGRAM = """
import importlib
import json
import os
import sys
import time
from man_jax import reproduce
from man_jax.commands import run_command
from man_jax.runs.workdir import claim_workdir
from man_jax.studies import workers

workers.PROGRAM = (sys.executable, __file__)

def run(config, workdir):
    with claim_workdir(workdir, config):
        line = [workdir.name, os.getpid(), sorted(os.sched_getaffinity(0))]
        with open(os.environ["LINES"], "a") as lines:
            lines.write(json.dumps(line) + "\\n")
        end = time.monotonic() + 60  # the other worker begins some seconds later
        while time.monotonic() < end and len({json.loads(line)[1] for line in open(os.environ["LINES"])}) < 2:
            time.sleep(0.1)
        time.sleep(1)
        figures = {"mAP": 0.5, "R1": 0.6}
        found = {"seed": config.seed, "source_only": figures, "adapted": figures, "best_on_test": figures}
        (workdir / "summary.json").write_text(json.dumps(found))

importlib.import_module("man_jax.engine.training_run").train_or_resume = run
importlib.import_module("man_jax.studies.run_rows").PAUSE = 0.5
run_command(reproduce.main)
"""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two workers take two cores")
def test_two_workers_share_the_runs_and_the_cores(tmp_path, small_data):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    keys = [f"--config.{key}={value}" for key, value in small_data.items()]
    command = [sys.executable, program, "--config=demo:smoke", f"--out={tmp_path / 'out'}", "--seeds=0,1,2"]
    environment = os.environ | QUICK | {"LINES": str(tmp_path / "lines"), "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [*command, *keys, "--workers=2"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    lines = [json.loads(line) for line in (tmp_path / "lines").read_text().splitlines()]
    assert sorted(name for name, _, _ in lines) == [
        f"seed{seed}-{row}" for seed in range(3) for row in ("adapted", "oracle")
    ]
    cores = {pid: {*cores} for _, pid, cores in lines}
    assert len(cores) == 2
    assert not set.intersection(*cores.values())
    assert (tmp_path / "out" / "table.md").is_file()
    assert "run 1 of 6, seed 0, adapted" in result.stderr
    assert "] run " in (tmp_path / "out" / "worker_1.log").read_text()
