"""Work that is done is found, also on a disk that is only read, and by a process that comes second."""

import contextlib
import errno
import os
import shutil
from pathlib import Path

import pytest

from data_pipelines.reading.records import DataError
from data_pipelines.storing import builders, shards
from tests.data_pipelines.preparing import SIZE, prepare
from tests.data_pipelines.trees import write_picture


def change(tree: Path) -> None:
    write_picture(tree / "train/0007/vis/v1_n1_s001_001.jpg", (0, 0, 0), size=(41, 24))


def refuse(*_):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_what_is_finished_is_used_from_a_disk_that_is_only_read(tree, monkeypatch):
    prepared = prepare(tree)
    monkeypatch.setattr(
        builders, "exclusive", refuse
    )  # root may write where nobody else may, so by injection
    assert prepare(tree) == prepared
    assert len(builders.prepare_dataset("wmveid863", tree, tree.parent / "out", SIZE).train) == 3


def test_what_is_outdated_on_a_disk_that_is_only_read_is_named(tree, monkeypatch):
    prepare(tree)
    change(tree)
    monkeypatch.setattr(builders, "exclusive", refuse)
    with pytest.raises(
        DataError, match=r"out/wmveid863_16x12_.*: cannot be written .Read-only file system.;"
    ):
        prepare(tree)


def test_what_another_process_prepared_while_this_one_waited_is_used(tree, monkeypatch):
    @contextlib.contextmanager
    def waiting(_):
        with monkeypatch.context() as other:
            other.setattr(builders, "exclusive", contextlib.nullcontext)
            prepare(tree)
        monkeypatch.setattr(shards, "read_triple", lambda *_, **__: pytest.fail("decoded again"))
        yield

    monkeypatch.setattr(builders, "exclusive", waiting)
    assert len(builders.load(prepare(tree)).train) == 3


def test_an_interrupted_removal_leaves_nothing_that_looks_finished(tree, monkeypatch):
    prepared = prepare(tree)
    change(tree)

    def interrupted(folder: Path):
        (folder / "features.json").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(tree)
    assert not prepared.exists()
    assert builders.load(prepare(tree)).train[0][0].max() < 3
    assert [path.name for path in prepared.parent.iterdir()] == [prepared.name]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("dataset_info.json", Path.unlink),
        ("metadata.json", Path.unlink),
        ("metadata.json", lambda path: path.write_text("{")),
    ],
)
def test_a_damaged_table_is_written_anew(tree, name, damage):
    damage(prepare(tree) / name)
    assert len(builders.load(prepare(tree)).train) == 3
