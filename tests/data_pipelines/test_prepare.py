"""The command, its exit status, and what a bad disk or a second process does to it."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from data_pipelines.prepare import report_and_prepare
from data_pipelines.reading.records import DataError
from data_pipelines.storing import builders, shards
from tests.data_pipelines.manifests import with_column, write_csv
from tests.data_pipelines.trees import write_picture

SIZE = (16, 12)
RANGE = (0, 65535)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "data_pipelines.prepare", *map(str, arguments)]


def prepare(tree: Path) -> None:
    report_and_prepare("wmveid863", str(tree), tree.parent / "out", SIZE, RANGE)


def finished(tree: Path) -> list[Path]:
    return list((tree.parent / "out").rglob("dataset_info.json"))


def everything(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_the_command_writes_what_training_will_find_ready(tree, monkeypatch):
    out = tree.parent / "out"
    result = subprocess.run(
        command("--dataset", "wmveid863", "--root", tree, "--out", out, "--size", "16x12"),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "24 files verified, 0 cannot be used" in result.stdout
    monkeypatch.setattr(shards, "read_triple", lambda *_, **__: pytest.fail("decoded again"))
    assert len(builders.prepare_dataset("wmveid863", tree, out, SIZE).train) == 3


def test_check_only_says_the_same_and_writes_nothing(tree, capsys):
    write_picture(tree / "query/0100/th/v7_orphan.jpg", (0, 0, 0))
    before = everything(tree.parent)
    report_and_prepare("wmveid863", str(tree), None, SIZE, RANGE)
    checked = capsys.readouterr().out
    assert everything(tree.parent) == before
    prepare(tree)
    assert capsys.readouterr().out.startswith(checked)
    assert "v7_orphan.jpg" in checked
    assert "published are 3,482 of 603" in checked


def test_the_exit_status_of_a_bad_set_is_1_and_every_bad_file_is_named(tree):
    bad = [tree / "train/0007/ni/v1_n1_s001_001.jpg", tree / "test/0101/th/v1_n1_s001_001.jpg"]
    for path in bad:
        path.write_bytes(b"")
    result = subprocess.run(
        command("--dataset", "wmveid863", "--root", tree, "--check-only"), capture_output=True, text=True
    )
    assert result.returncode == 1
    assert "24 files verified, 2 cannot be used" in result.stdout
    assert all(f"{path}: cannot be read" in result.stderr for path in bad)
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("size", ["256", "256x", "axb", "16x0", "0x16", "-1x16"])
def test_a_size_that_is_none_is_answered_with_an_example(tree, size):
    result = subprocess.run(
        command("--dataset", "wmveid863", "--root", tree, "--out", tree.parent / "out", "--size", size),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    said = result.stdout + result.stderr
    assert f"--size is '{size}'; write it as in --size=256x128, with whole numbers of at least 1" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("deep_range", "answer"),
    [
        ("all", "write it as in --deep_range=0,65535, with whole numbers of at least 0"),
        ("5,0", "deep_range is 5, 0; it must be two rising values"),
    ],
)
def test_a_range_that_is_none_is_answered_by_the_command_too(tree, deep_range, answer):
    arguments = ("--dataset", "wmveid863", "--root", tree, "--check-only", "--deep_range", deep_range)
    result = subprocess.run(command(*arguments), capture_output=True, text=True)
    assert result.returncode == 1
    assert answer in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_conversions_are_reported_and_repeated_at_every_use(tree, capsys):
    Image.new("CMYK", (20, 20)).save(tree / "train/0007/vis/v1_n1_s001_001.jpg")
    prepare(tree)
    warning = "1 files: CMYK, converted to RGB without a colour profile: train/0007/vis/v1_n1_s001_001.jpg"
    assert warning in capsys.readouterr().out
    table = builders.read_table(
        builders.prepare(builders.read("wmveid863", tree), tree.parent / "out", image_size=SIZE)
    )
    assert table is not None
    assert any(warning in text for text in table["warnings"])


# --- the disk and the neighbours


@pytest.mark.parametrize(
    "failure",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        RuntimeError(
            f"write() failed: {os.strerror(errno.ENOSPC)}; at byte 7"
        ),  # array_record's way to say it
        PermissionError(errno.EACCES, os.strerror(errno.EACCES)),
    ],
)
def test_a_full_disk_is_named_and_leaves_nothing_that_looks_finished(tree, monkeypatch, failure):
    def fail(*_, **__):
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(shards.Triples, "_generate_examples", fail)
        with pytest.raises(
            DataError, match=r"out/wmveid863_16x12_.*: cannot be written .*MiB are needed\. Free space"
        ):
            prepare(tree)
    assert not finished(tree)
    prepare(tree)
    assert len(finished(tree)) == 1


def test_a_disk_that_fails_under_the_shards_is_named(tree):
    # A real failure below Python: files may not grow beyond 8 kB, the noise does not compress.
    for path in tree.rglob("*.jpg"):
        Image.effect_noise((32, 32), 90).convert("RGB").save(path)
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192));"
        "from data_pipelines.prepare import report_and_prepare as prepare;"
        " prepare('wmveid863', sys.argv[1], __import__('pathlib').Path(sys.argv[2]),"
        "(32, 32), (0, 65535))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(tree), str(tree.parent / "out")], capture_output=True, text=True
    )
    assert result.returncode == 1
    assert "DiskError" in result.stderr
    assert "cannot be written (File too large)" in result.stderr
    assert not finished(tree)


def test_an_error_that_is_not_the_disk_s_is_not_taken_for_it(tree, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("something else")

    monkeypatch.setattr(shards.Triples, "_generate_examples", fail)
    with pytest.raises(RuntimeError, match="something else"):
        prepare(tree)


def test_a_file_where_the_folder_should_be_is_named(tree):
    (tree.parent / "out").write_text("in the way")
    with pytest.raises(DataError, match=r"/out: cannot be written \(.*/out: Not a directory\)"):
        prepare(tree)


def test_two_preparations_at_once_write_one_whole_set(tree):
    arguments = ("--dataset", "wmveid863", "--root", tree, "--out", tree.parent / "out", "--size", "16x12")
    both = [subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    (info,) = finished(tree)
    prepared = builders.load(info.parent)
    assert [len(prepared.train), len(prepared.query), len(prepared.gallery)] == [3, 2, 3]
    assert [path.name for path in info.parent.parent.iterdir()] == [info.parent.name]


@pytest.mark.skipif(
    os.geteuid() == 0, reason="root may enter every folder; run as another user to see this tested"
)
def test_a_folder_that_may_not_be_entered_is_named(tree):
    folder = tree / "query/0100/ni"
    folder.chmod(0)
    try:
        with pytest.raises(DataError, match=f"{folder}: cannot be read .*give yourself access"):
            prepare(tree)
    finally:
        folder.chmod(0o700)


def test_a_folder_that_refuses_to_be_listed_is_named(tree, monkeypatch):
    # The same by injection, which works for root too.
    iterdir, folder = Path.iterdir, tree / "query/0100/ni"

    def refuse(path: Path):
        if path == folder:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(
        DataError, match=f"{folder}: cannot be read .Permission denied.; give yourself access"
    ):
        prepare(tree)


def test_names_outside_ascii_go_all_the_way(tree):
    for modality in ("vis", "ni", "th"):
        write_picture(tree / "train/0012" / modality / "v2_größe_車.jpg", (200, 0, 0))
    prepare(tree)
    (info,) = finished(tree)
    assert "v2_größe_車.jpg" in builders.load(info.parent).train.names


def test_a_folder_that_links_to_its_own_parent_is_not_followed_for_ever(tree):
    (tree / "train/0007/vis/loop").symlink_to(tree / "train")
    (tree / "train/loop").symlink_to(tree / "train/loop")
    prepare(tree)
    assert len(finished(tree)) == 1


def test_every_link_to_nothing_is_named_by_the_preparation_as_by_the_check(tree, tmp_path):
    for modality in ("vis", "ni", "th"):
        (tree / "train/0007" / modality / "v3_n1_s001_009.jpg").symlink_to(tmp_path / "gone.jpg")
    for out in (None, tmp_path / "out"):
        with pytest.raises(DataError, match=r"3 files cannot be used") as error:
            report_and_prepare("wmveid863", str(tree), out, SIZE, RANGE)
        assert str(error.value).count("v3_n1_s001_009.jpg: cannot be read (No such file or directory)") == 3


def test_a_rule_that_leaves_no_match_in_a_table_is_looked_for_in_the_table(tmp_path):
    header, rows = with_column("scene", "3")
    with pytest.raises(DataError, match=r"under another scene; check the scene in the table\."):
        report_and_prepare("manifest", str(write_csv(tmp_path, header, rows)), None, SIZE, RANGE)
