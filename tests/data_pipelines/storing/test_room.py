"""What the preparation can refuse is refused, or told, by the check before it."""

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from absl import logging

from data_pipelines.prepare import report_and_prepare
from data_pipelines.reading.readers import wmveid863
from data_pipelines.reading.records import DataError
from data_pipelines.storing import builders, room, shards
from data_pipelines.storing.images import ImageSettings
from tests.data_pipelines.trees import write_picture

SIZE, RANGE = (16, 12), (0, 65535)
Usage = namedtuple("Usage", ["free"])


def check(tree: Path, out: Path | None, size: tuple[int, int] = SIZE) -> None:
    report_and_prepare("wmveid863", str(tree), None, size, RANGE, later_out=out)


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.parametrize("size", [(100000, 100000), (4096, 1025), (1, 2**22 + 1)])
def test_a_size_beyond_all_memory_is_refused_before_any_file_is_opened(tree, size, monkeypatch):
    monkeypatch.setattr("data_pipelines.checking.verification.open_picture", lambda _: pytest.fail("opened"))
    for act in (
        lambda: check(tree, None, size),
        lambda: builders.prepare(wmveid863.read(tree), tree.parent / "out", image_size=size),
        lambda: builders.verify_once(wmveid863.read(tree), tree.parent / "out", ImageSettings(size)),
    ):
        with pytest.raises(DataError, match=rf"image_size is {size[0]}x{size[1]}, at most 4,194,304 pixels"):
            act()


def places(tmp_path: Path) -> dict[str, tuple[Path, str]]:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    return {
        "bytes": (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xb3\xb5")), "or the locale, is not UTF-8"),
        "below a file": (tmp_path / "file/out", "Not a directory"),
        "a file": (tmp_path / "file", "Not a directory"),
        "too long": (tmp_path / ("x" * 300), "File name too long"),
    }


@pytest.mark.parametrize("which", ["bytes", "below a file", "a file", "too long"])
def test_a_place_where_nothing_can_be_written_is_refused_by_the_check_too(tree, tmp_path, which):
    out, reason = places(tmp_path)[which]
    before = everything(tmp_path)
    with pytest.raises(DataError, match=reason):
        check(tree, out)
    assert everything(tmp_path) == before
    for act in (
        lambda: builders.prepare(wmveid863.read(tree), out, image_size=SIZE),
        lambda: builders.verify_once(wmveid863.read(tree), out, ImageSettings(SIZE)),
    ):
        with pytest.raises(DataError, match=reason):
            act()


def test_a_place_that_may_not_be_written_to_is_refused_by_the_check(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(room.os, "access", lambda *_: False)
    with pytest.raises(DataError, match=rf"cannot be written \({tmp_path}: Permission denied\)"):
        check(tree, tmp_path / "out")


def test_a_link_to_nowhere_is_named_when_it_is_written_to(tree, tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(DataError, match=r"loop.*cannot be written"):
        builders.prepare(wmveid863.read(tree), tmp_path / "loop/out", image_size=SIZE)


def test_too_little_room_is_told_by_the_check_and_by_training(tree, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free=100))
    logged = []
    monkeypatch.setattr(logging, "warning", lambda message, *args: logged.append(message % args))
    check(tree, tmp_path / "out", (512, 512))
    told = f"{tmp_path / 'out'} has 0 MiB free, and up to 18 MiB are needed"
    assert told in capsys.readouterr().out
    builders.prepare_dataset("wmveid863", tree, tmp_path / "out", (512, 512))
    assert any(told in line for line in logged)
    logged.clear()
    builders.prepare_dataset("wmveid863", tree, tmp_path / "out", (512, 512))
    assert not any("MiB free" in line for line in logged)  # it is there already


def test_the_command_holds_no_place_against_the_data_that_nobody_named(tree, tmp_path):
    (tmp_path / "data").write_text("in the way")
    arguments = ("--dataset", "wmveid863", "--root", str(tree), "--check-only")
    command = [sys.executable, "-m", "data_pipelines.prepare", *arguments]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    settings = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
    assert subprocess.run(command, **settings).returncode == 0
    result = subprocess.run([*command, "--out", "data/prepared"], **settings)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith(f"error: {tmp_path}/data/prepared: cannot be written")


@pytest.mark.parametrize("change", ["another picture", "gone", "touched"])
def test_a_file_that_changes_while_it_is_prepared_is_named_and_nothing_looks_finished(
    tree, monkeypatch, change
):
    path = tree / "train/0007/ni/v1_n1_s001_001.jpg"
    generate = shards.Triples._generate_examples

    def change_meanwhile(self, split):
        yield from generate(self, split)
        if split == "train":
            if change == "gone":
                path.unlink()
            elif change == "touched":
                os.utime(path, ns=(1, 1))
            else:
                write_picture(path, (9, 9, 9), size=(41, 24))

    monkeypatch.setattr(shards.Triples, "_generate_examples", change_meanwhile)
    with pytest.raises(DataError, match=rf"1 files changed while they were prepared: {path}"):
        builders.prepare(wmveid863.read(tree), tree.parent / "out", image_size=SIZE)
    assert not list((tree.parent / "out").rglob("dataset_info.json"))


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_written_to_all_the_same(tree, monkeypatch, code):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    logged = []
    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(logging, "warning", lambda message, *args: logged.append(message % args))
    prepared = builders.prepare(wmveid863.read(tree), tree.parent / "out", image_size=SIZE)
    assert len(builders.load(prepared).train) == 3
    assert any("cannot be locked" in line for line in logged)
