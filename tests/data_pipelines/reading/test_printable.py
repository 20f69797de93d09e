"""Names that are not UTF-8 or hold control characters, in all that is printed or written."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from absl import logging

from data_pipelines.checking.verification import verify
from data_pipelines.contact_sheet.page import write_page
from data_pipelines.reading import datasets
from data_pipelines.reading.folders import shortlist
from data_pipelines.reading.printable import escape_on_streams, printable
from data_pipelines.reading.records import DataError, ImageRef, Record
from data_pipelines.storing import builders
from man_jax.runs.metrics import replace_file
from tests.data_pipelines.trees import write_picture, write_triples

ROOT = Path(__file__).parents[3]
MODALITIES = ("R", "N", "T")
NAMES = {
    "GBK": "0001_c1_车.png".encode("gbk"),
    "a byte": b"0001_c1_\xff.png",
    "Shift JIS": "0001_c1_車.png".encode("shift_jis"),
    "a line end": b"0001_c1_\n1.png",
    "a return and an escape": b"0001_c1_\r\x1b[2J.png",
    "turned writing": "0001_c1_\u202e1.png".encode(),
}
every_name = pytest.mark.parametrize("name", NAMES.values(), ids=list(NAMES))
LOCALES = {
    "strict UTF-8": {"PYTHONIOENCODING": "utf-8:strict"},
    "C": {"LC_ALL": "C"},
    "ASCII": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "strict ASCII": {"PYTHONIOENCODING": "ascii:strict"},
}


def write_set(base: Path) -> Path:
    for split, names in {
        "train": ("4_c1_größe.jpg", "2_c2.jpg"),
        "query": ("90_c1.jpg",),
        "gallery": ("90_c2.jpg",),
    }.items():
        write_triples(base / split, names, MODALITIES)
    return base


def add_file(folder: Path, name: bytes) -> Path:
    write_picture(folder / "plain.png", (1, 2, 3))
    path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
    (folder / "plain.png").rename(path)
    return path


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größe 車.png", "größe 車.png"),
        ("a\nb\tc", "a\\nb\\tc"),
        (os.fsdecode(b"\xb3\xb5"), "\\xb3\\xb5"),
        ("\x1b[2J\x00", "\\x1b[2J\\x00"),
        ("\ud800", "\\ud800"),
        ("\u2028\u202e\xa0", "\\u2028\\u202e\\xa0"),
    ],
)
def test_what_cannot_be_shown_stands_as_its_escape(text, shown):
    assert printable(text) == shown
    assert printable(printable(text)) == shown
    printable(text).encode()


def test_an_error_is_one_line_and_one_more_for_each_entry_of_its_list():
    assert str(DataError("a\nb: gone", "c\nd")) == "a\\nb: gone\n  c\\nd"


def test_a_list_of_names_is_printable():
    assert shortlist([Path(os.fsdecode(b"\xb3")), "b\n"]) == "\\xb3, b\\n"


@every_name
def test_an_orphan_of_such_a_name_is_shown_on_one_line(tmp_path, name):
    add_file(write_set(tmp_path) / "train/R", name)
    (warning,) = datasets.read("folder", tmp_path).warnings
    assert warning.isprintable()
    assert "train/R/0001_c1_" in warning


@every_name
def test_an_image_of_such_a_name_that_cannot_be_read_is_shown_on_one_line(tmp_path, name):
    for modality in MODALITIES:
        add_file(write_set(tmp_path) / "train" / modality, name).write_bytes(b"")
    faults = [report.fault for report in verify(datasets.read("folder", tmp_path)) if report.fault]
    assert len(faults) == 3
    assert all(printable(fault) == fault for fault in faults)


@pytest.mark.parametrize("locale", LOCALES.values(), ids=list(LOCALES))
def test_the_check_prints_such_names_under_every_locale(tmp_path, locale):
    base = write_set(tmp_path)
    for name in NAMES.values():
        add_file(base / "train/R", name)
    arguments = ("--dataset", "folder", "--root", base, "--check-only")
    result = subprocess.run(
        [sys.executable, "-m", "data_pipelines.prepare", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | locale,
        capture_output=True,
    )
    assert result.returncode == 0, result.stderr
    (line,) = [line for line in result.stdout.splitlines() if b"lack a companion" in line]
    assert b"0001_c1_\\xb3\\xb5.png" in line
    assert b"0001_c1_\\n1.png" in line


def test_a_good_name_keeps_its_letters_where_the_locale_is_ascii(tmp_path):
    base = write_set(tmp_path / "mine")
    program = (
        "import sys; from data_pipelines.storing.builders import prepare_dataset as prepare;"
        "print(ascii(prepare('folder', sys.argv[1], sys.argv[2], (8, 8)).train.names))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(base), str(tmp_path / "out")],
        cwd=ROOT,
        env=os.environ | LOCALES["ASCII"],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == ascii(["2_c2.jpg", "4_c1_größe.jpg"])


def test_warnings_that_are_logged_hold_such_names_as_escapes(tmp_path, monkeypatch):
    add_file(write_set(tmp_path / "mine") / "train/R", NAMES["GBK"])
    logged = []
    monkeypatch.setattr(logging, "warning", lambda message, *args: logged.append(message % args))
    builders.prepare_dataset("folder", tmp_path / "mine", tmp_path / "out", (8, 8))
    assert "0001_c1_\\xb3\\xb5.png" in logged[0]


@pytest.mark.parametrize("name", [NAMES["a line end"], NAMES["a return and an escape"], b"3_c1_\x01<b>.png"])
def test_the_contact_sheet_shows_names_with_control_characters(tmp_path, name):
    base = write_set(tmp_path / "mine")
    for modality in MODALITIES:
        add_file(base / "train" / modality, name)
    prepared = builders.prepare(datasets.read("folder", base), tmp_path / "out", image_size=(8, 8))
    write_page(prepared, tmp_path / "sheet.html", triples=9, identities=1, seed=0)
    html = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert not any(ord(c) < 32 and c != "\n" for c in html)
    assert "_c1_\\" in html


def test_the_contact_sheet_shows_a_stored_warning_of_such_a_name(tmp_path):
    prepared = builders.prepare(
        datasets.read("folder", write_set(tmp_path / "mine")), tmp_path / "out", image_size=(8, 8)
    )
    table = prepared / "metadata.json"
    content = json.loads(table.read_text())
    table.write_text(json.dumps(content | {"warnings": ["a file: \udcb3\udcb5.png"]}))
    write_page(prepared, tmp_path / "sheet.html", triples=1, identities=1, seed=0)
    assert "a file: \\xb3\\xb5.png" in (tmp_path / "sheet.html").read_text(encoding="utf-8")


def test_a_text_file_is_written_whatever_name_it_holds(tmp_path):
    replace_file(tmp_path / "table.md", "runs of \udcb3\udcb5 and größe\n")
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == "runs of \\udcb3\\udcb5 and größe\n"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "gbk"])
def test_a_stream_writes_an_escape_for_what_its_encoding_lacks(monkeypatch, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    monkeypatch.setattr(sys, "stdout", stream)
    escape_on_streams()
    print("\udcb3 –", flush=True)
    assert b"\\udcb3" in stream.buffer.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_a_record_goes_by_the_letters_of_its_bytes():
    name = os.fsdecode("größe.jpg".encode())
    assert Record((ImageRef(Path("a") / name),), 1, 1).name == "größe.jpg"


def test_a_source_folder_that_is_not_utf8_can_be_prepared(tmp_path):
    base = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xb3\xb5"))
    prepared = builders.prepare_dataset("folder", write_set(base), tmp_path / "out", (8, 8))
    assert prepared.train.names == ["2_c2.jpg", "4_c1_größe.jpg"]
