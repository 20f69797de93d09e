"""A run that is stopped again and again, and goes on each time, ends in the bits of one that never was."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.quick_programs import QUICK
from tests.starts import End, Moment, Starts
from tests.test_processes import SMALL
from tests.test_train import as_bytes, last_state, trees

__all__ = ["trees"]

SIGNALS = {"SIGTERM": 143, "SIGINT": 130, "SIGHUP": 129}
"""With the exit status of each."""

STOPS = (
    ("data_pipelines.checking.verification:open_picture", 40),
    ("data_pipelines.storing.shards:read_triple", 40),
    ("os:replace", 2),
    ("man_jax.engine.training_run:first_state", 1),
    ("man_jax.engine.epoch:put_batch", 2),
    ("man_jax.engine.phases:save_pretrained", 1),
    ("data_pipelines.session.disk:WholeAppends.append", 2),
    ("orbax.checkpoint:CheckpointManager.save", 1),
    ("man_jax.methods.man:cluster_tables", 1),
    ("man_jax.engine.extract:put_batch", 4),
    ("os:rename", 4),
    ("man_jax.engine.report:curves_figure", 1),
)
"""A function of each part of a run, in the order of the first epochs, and how often it is called at least; the call is
drawn from these. Orbax renames twice in each save, the second time to the name by which a checkpoint is whole."""

FULL_AT = {
    "metrics.jsonl": Moment("man_jax.runs.metrics:MetricsWriter.write", 1, 0),
    "checkpoints": Moment("man_jax.engine.phases:save_state", 1, 3000),
    "summary.json": Moment("man_jax.engine.report:write_summary", 1, 10),
    "ranking.png": Moment("man_jax.engine.ranking_picture:ranking_figure", 1, 5000),
}
"""What does not fit if no file can grow beyond so many bytes from that call on."""


class Stopped(NamedTuple):
    """What became of each start of one work directory, in their order."""

    workdir: Path
    signals: list[tuple[Moment, End]]
    refusals: dict[str, End]
    last: End


def arguments(trees: Path, workdir: Path) -> list[str]:
    return [
        *("--config=configs/demo.py:us+smoke", f"--workdir={workdir}"),
        f"--config.data.source.root={trees / 'RGBNT100'}",
        f"--config.data.target.root={trees / 'WMVeID863'}",
        f"--config.data.prepared={workdir.parent / 'prepared'}",
        *SMALL,
    ]


@pytest.fixture(scope="module")
def starts(tmp_path_factory):
    """Starts of commands that share a cache of compiled programs."""
    cache = str(tmp_path_factory.mktemp("cache"))
    with Starts(**QUICK, JAX_COMPILATION_CACHE_DIR=cache) as starts:
        yield starts


@pytest.fixture(scope="module")
def stopped(starts, trees, tmp_path_factory) -> Stopped:
    """A run that was stopped at every moment of `STOPS`, and by a full disk at every one of `FULL_AT`."""
    rng, workdir = np.random.default_rng(12), tmp_path_factory.mktemp("stopped") / "run"
    words, signals, refusals = arguments(trees, workdir), [], {}
    moments = [
        Moment(place, int(rng.integers(1, calls + 1)), str(rng.choice(list(SIGNALS))))
        for place, calls in STOPS
    ]
    for moment in moments[:-1]:
        signals.append((moment, starts.start("man_jax.train", *words, moment=moment)))
        if moment.place == "man_jax.engine.epoch:put_batch":  # amid pre-training
            for what in ("metrics.jsonl", "checkpoints"):
                refusals[what] = starts.start("man_jax.train", *words, moment=FULL_AT[what])
    for what in list(FULL_AT)[len(refusals) :]:
        refusals[what] = starts.start("man_jax.train", *words, moment=FULL_AT[what])
    signals.append((moments[-1], starts.start("man_jax.train", *words, moment=moments[-1])))
    return Stopped(workdir, signals, refusals, starts.start("man_jax.train", *words))


@pytest.fixture(scope="module")
def whole(starts, trees, tmp_path_factory) -> Path:
    """The work directory of the same run, which nothing stopped."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    end = starts.start("man_jax.train", *arguments(trees, workdir))
    assert end.status == 0, end.output[-3000:]
    return workdir


def test_a_signal_at_any_moment_ends_the_run_with_its_status_and_one_line(stopped):
    for moment, end in stopped.signals:
        assert end.status == SIGNALS[str(moment.event)], (moment, end.output[-3000:])
        assert "Traceback" not in end.output, moment
        lines = [line for line in end.output.splitlines() if "interrupted" in line]
        assert lines == [end.output.splitlines()[-1]], moment
        assert lines[0].startswith(f"interrupted by {moment.event}; "), moment
        assert "the same command" in lines[0], moment


def test_the_line_names_the_last_checkpoint(stopped):
    lines = [end.output.splitlines()[-1] for _, end in stopped.signals]
    assert f"{stopped.workdir} has no checkpoint yet" in lines[0]
    assert lines[-1].endswith(
        f"the last checkpoint is of step 6 in {stopped.workdir}; the same command goes on"
    )


def test_a_full_disk_ends_the_run_with_one_line_that_names_place_reason_and_remedy(stopped):
    for what, end in stopped.refusals.items():
        assert end.status == 1, (what, end.output[-3000:])
        assert "Traceback" not in end.output, what
        last = end.output.splitlines()[-1]
        assert last.startswith(f"error: {stopped.workdir / what}: cannot be written (File too large)"), what
        assert "ulimit" in last, what
        assert "the same command goes on" in last, what
        assert end.output.count("File too large") == 1, what


def test_the_run_that_was_stopped_ends_in_the_bits_of_the_one_that_was_not(stopped, whole):
    assert stopped.last.status == 0, stopped.last.output[-3000:]
    assert as_bytes(last_state(stopped.workdir)) == as_bytes(last_state(whole))
    for name in ("metrics.jsonl", "curves.png", "ranking.png"):
        assert (stopped.workdir / name).read_bytes() == (whole / name).read_bytes(), name
    assert {path.name for path in stopped.workdir.iterdir()} == {path.name for path in whole.iterdir()}
    checkpoints = [
        sorted(each.name for each in (run / "checkpoints").iterdir()) for run in (stopped.workdir, whole)
    ]
    assert checkpoints[0] == checkpoints[1]


def test_evaluation_that_is_stopped_changes_nothing_and_says_so_in_one_line(starts, whole):
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    moment = Moment("man_jax.engine.extract:put_batch", 1, "SIGTERM")
    end = starts.start("man_jax.evaluate", f"--run={whole}", moment=moment)
    assert end.status == 143
    assert end.output.splitlines()[-1].startswith("interrupted by SIGTERM; ")
    assert "Traceback" not in end.output
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


def test_an_evaluation_that_cannot_be_written_is_told_in_one_line(starts, whole, tmp_path):
    moment = Moment("man_jax.engine.ranking_picture:ranking_figure", 1, 5000)
    end = starts.start("man_jax.evaluate", f"--run={whole}", f"--out={tmp_path}", moment=moment)
    assert end.status == 1
    assert end.output.splitlines()[-1].startswith(f"error: {tmp_path / 'ranking.png'}: cannot be written")
    assert "Traceback" not in end.output
    assert list(tmp_path.iterdir()) == []
