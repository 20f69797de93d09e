"""What a run writes, and what is left of it after a kill."""

import contextlib
import errno
import json
import os
import re
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from data_pipelines.session.disk import DiskError
from man_jax.runs.metrics import MetricsWriter, read_history, read_summary, write_summary


def write_steps(workdir, steps):
    with MetricsWriter(workdir) as writer:
        for step in steps:
            writer.write({"loss/total": step / 10}, step=step, epoch=step // 2, phase="adapt")


def steps_in(workdir):
    return [row["step"] for row in read_history(workdir)]


def tear(workdir):
    with (workdir / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 99, "epo')


def events(workdir) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(Path(workdir, "tensorboard").iterdir()))


def test_a_row_comes_back_as_written(tmp_path):
    with MetricsWriter(tmp_path) as writer:
        writer.write({"eval/mAP": np.float32(0.5)}, step=3, epoch=1, phase="pretrain")
    assert read_history(tmp_path) == [{"step": 3, "epoch": 1, "phase": "pretrain", "eval/mAP": 0.5}]


def test_a_row_is_on_disk_before_the_writer_is_closed(tmp_path):
    writer = MetricsWriter(tmp_path)
    writer.write({"loss/total": 1.0}, step=1, epoch=0, phase="adapt")
    found = steps_in(tmp_path)
    writer.close()
    assert found == [1]


def test_tensorboard_gets_the_same_names(tmp_path):
    write_steps(tmp_path, [1])
    assert b"loss/total" in events(tmp_path)


def test_resume_drops_the_rows_after_the_checkpoint(tmp_path):
    write_steps(tmp_path, range(6))
    MetricsWriter(tmp_path).resume(3)
    assert steps_in(tmp_path) == [0, 1, 2, 3]


def test_rows_written_after_resume_follow_the_kept_ones(tmp_path):
    write_steps(tmp_path, range(6))
    with MetricsWriter(tmp_path) as writer:
        writer.resume(1)
        writer.write({}, step=2, epoch=7, phase="adapt")
    assert [(row["step"], row["epoch"]) for row in read_history(tmp_path)] == [(0, 0), (1, 0), (2, 7)]


def test_tensorboard_counts_steps_and_purges_from_the_next_one_after_a_resume(tmp_path, monkeypatch):
    seen = {}

    class Recorder:
        def __init__(self, _folder, *, purge_step):
            seen["purge_step"] = purge_step

        def write(self, scalars, *, step):
            seen.update(scalars=scalars, step=step)

        def close(self):
            pass

    monkeypatch.setattr("man_jax.runs.metrics.EventFile", Recorder)
    with MetricsWriter(tmp_path) as writer:
        writer.resume(41)
        writer.write({"loss/total": 1.0}, step=42, epoch=3, phase="adapt")
    # By step, which counts through both phases.
    assert seen == {"purge_step": 42, "scalars": {"loss/total": 1.0}, "step": 42}


def test_resume_without_a_file_starts_an_empty_one(tmp_path):
    MetricsWriter(tmp_path / "new").resume(5)
    assert steps_in(tmp_path / "new") == []


def test_resume_after_the_first_write_is_refused(tmp_path):
    with MetricsWriter(tmp_path) as writer:
        writer.write({}, step=1, epoch=0, phase="adapt")
        with pytest.raises(RuntimeError, match="before the first write"):
            writer.resume(0)


def test_a_torn_last_line_is_not_read(tmp_path):
    write_steps(tmp_path, [1, 2])
    tear(tmp_path)
    assert steps_in(tmp_path) == [1, 2]


def test_a_line_that_lost_only_its_newline_counts_as_torn(tmp_path):
    write_steps(tmp_path, [1, 2])
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-1])
    assert steps_in(tmp_path) == [1]


@pytest.mark.parametrize("resume", [True, False])
def test_a_torn_last_line_does_not_swallow_the_next(tmp_path, resume):
    write_steps(tmp_path, [1, 2])
    tear(tmp_path)
    with MetricsWriter(tmp_path) as writer:
        if resume:
            writer.resume(2)
        writer.write({}, step=3, epoch=1, phase="adapt")
    assert steps_in(tmp_path) == [1, 2, 3]


@pytest.mark.parametrize("line", ["{broken", "[1]", '{"epoch": 1}'])
def test_a_broken_line_in_the_middle_is_an_error_with_its_number(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text(f'{{"step": 1}}\n{line}\n{{"step": 2}}\n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2"):
        read_history(tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_figure_that_is_not_finite_is_null_in_valid_json(tmp_path, value):
    with MetricsWriter(tmp_path) as writer:
        writer.write({"loss/total": value}, step=1, epoch=0, phase="adapt")
    assert '"loss/total": null' in (tmp_path / "metrics.jsonl").read_text()


def test_a_metric_may_not_be_called_step(tmp_path):
    with pytest.raises(ValueError, match="may not be called 'step'"):
        MetricsWriter(tmp_path).write({"step": 1}, step=1, epoch=0, phase="adapt")


def test_a_metric_that_is_no_scalar_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match="'loss/total' must be a scalar"):
        MetricsWriter(tmp_path).write({"loss/total": [1, 2]}, step=1, epoch=0, phase="adapt")


def test_other_processes_write_nothing(tmp_path):
    with MetricsWriter(tmp_path, process_index=1) as writer:
        writer.resume(0)
        writer.write({"loss/total": 1.0}, step=1, epoch=0, phase="adapt")
    write_summary(tmp_path, {}, process_index=1)
    assert list(tmp_path.iterdir()) == []


def test_a_summary_holds_nested_figures_with_null_for_nan(tmp_path):
    write_summary(tmp_path, {"adapted": {"mAP": np.float32(0.5), "R1": float("nan")}, "seed": 0})
    assert json.loads((tmp_path / "summary.json").read_text()) == {
        "adapted": {"mAP": 0.5, "R1": None},
        "seed": 0,
    }
    found = read_summary(tmp_path)
    assert found["adapted"]["mAP"] == 0.5
    assert np.isnan(found["adapted"]["R1"])


# --- a disk that refuses


@contextlib.contextmanager
def full(path: Path, room: int) -> Iterator[None]:
    """No file may become longer than `path` is now by more than `room` bytes."""
    size, (_, most) = path.stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


@pytest.mark.parametrize("room", [0, 1, 25])
def test_a_row_that_does_not_fit_is_refused_in_one_line_and_leaves_no_part(tmp_path, room):
    path, named = tmp_path / "metrics.jsonl", re.escape(str(tmp_path / "metrics.jsonl"))
    with MetricsWriter(tmp_path) as writer:
        writer.write({"loss/total": 1.0}, step=1, epoch=1, phase="adapt")
        before = path.read_bytes()
        with full(path, room), pytest.raises(DiskError, match=rf"^{named}: .*File too large.*ulimit -f"):
            writer.write({"loss/total": 2.0}, step=2, epoch=2, phase="adapt")
        assert path.read_bytes() == before
        writer.write({"loss/total": 2.0}, step=2, epoch=2, phase="adapt")
    assert steps_in(tmp_path) == [1, 2]


def test_events_that_do_not_fit_are_refused_at_once_and_leave_no_part(tmp_path):
    many = {f"loss/term_{number}": 1.0 for number in range(30)}
    named = r"tensorboard: cannot be written \(File too large\)"
    with MetricsWriter(tmp_path) as writer:
        writer.write(many, step=1, epoch=1, phase="adapt")
        (file,) = (tmp_path / "tensorboard").iterdir()
        before = file.read_bytes()
        with full(file, 100), pytest.raises(DiskError, match=named):
            writer.write(many, step=2, epoch=2, phase="adapt")
        assert file.read_bytes() == before


REFUSALS = {
    errno.ENOSPC: "free space",
    errno.EDQUOT: "quota",
    errno.EROFS: "make the disk writable",
    errno.EACCES: "right to write",
    errno.EIO: "look after the disk",
}


@pytest.mark.parametrize(("number", "remedy"), REFUSALS.items())
@pytest.mark.parametrize(
    "write",
    [
        lambda writer, _: writer.write({}, step=3, epoch=3, phase="adapt"),
        lambda writer, _: writer.resume(1),
        lambda _, workdir: write_summary(workdir, {"seed": 1}),
    ],
    ids=["row", "resume", "summary"],
)
def test_what_a_disk_refuses_is_told_with_folder_reason_and_remedy(
    tmp_path, monkeypatch, number, remedy, write
):
    write_steps(tmp_path, [1, 2])
    write_summary(tmp_path, {"seed": 0})

    def fail(_):
        raise OSError(number, os.strerror(number))

    with MetricsWriter(tmp_path) as writer, monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(DiskError) as refusal:
            write(writer, tmp_path)
    message = str(refusal.value)
    assert str(tmp_path) in message
    assert os.strerror(number) in message
    assert remedy in message
    assert "\n" not in message
    assert steps_in(tmp_path) == [1, 2]
    assert json.loads((tmp_path / "summary.json").read_text()) == {"seed": 0}
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("how", ["removed", "moved", "made anew"])
def test_a_work_directory_that_is_taken_away_ends_the_run_with_the_next_row(tmp_path, how):
    workdir = tmp_path / "run"
    with MetricsWriter(workdir) as writer:
        writer.write({}, step=1, epoch=1, phase="adapt")
        shutil.move(workdir, tmp_path / "elsewhere")
        if how == "removed":
            shutil.rmtree(tmp_path / "elsewhere")
        if how == "made anew":
            write_steps(workdir, [1])
        with pytest.raises(DiskError, match="moved or removed"):
            writer.write({}, step=2, epoch=2, phase="adapt")


def test_a_failed_summary_leaves_the_old_one(tmp_path):
    write_summary(tmp_path, {"seed": 0})
    with pytest.raises(TypeError):
        write_summary(tmp_path, {"seed": object()})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"seed": 0}
