"""Damage of any kind is told by the file's name, whatever Orbax would have made of it."""

import os
import shutil
from pathlib import Path

import pytest

from man_jax.runs.seal import SEAL, content_digest, is_sealed, read_seal, seal_fault, write_seal

LARGE = "default/d/large"


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "4"
    (folder / "default" / "d").mkdir(parents=True)
    (folder / LARGE).write_bytes(bytes(range(256)) * 8)
    (folder / "_CHECKPOINT_METADATA").write_text("{}")
    write_seal(folder, {"keys": {"seed": 3}})
    return folder


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)


def test_a_folder_that_is_as_it_was_written_has_no_fault(folder, tmp_path):
    assert seal_fault(folder) is None
    assert seal_fault(shutil.copytree(folder, tmp_path / "copy")) is None


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda path: os.truncate(path, 1000), f"{LARGE} has 1,000 bytes and had 2,048"),
        (lambda path: os.truncate(path, 0), f"{LARGE} has 0 bytes"),
        (flip, f"{LARGE} holds other bytes than those that were written"),
        (Path.unlink, f"{LARGE} is missing"),
        (lambda path: shutil.rmtree(path.parents[1]), f"{LARGE} is missing"),
        (lambda path: (path.parents[2] / "_CHECKPOINT_METADATA").unlink(), "_CHECKPOINT_METADATA is missing"),
        (lambda path: (path.parents[2] / SEAL).write_text('{"ab'), "seal.json is damaged"),
        *(
            (lambda path, text=text: (path.parents[2] / SEAL).write_text(text), "seal.json is damaged")
            for text in (
                "[]",
                '{"about": {}, "files": {"default/d/large": 7}}',
                '{"about": {}, "files": {"default/d/large": ["many", "x"]}}',
                '{"about": {"keys": 3}, "files": {}}',
                '{"about": [], "files": {}}',
            )
        ),
    ],
)
def test_damage_is_told_by_the_file_s_name(folder, damage, fault):
    damage(folder / LARGE)
    assert fault in (seal_fault(folder) or "")


def test_without_a_seal_nothing_is_known(folder):
    (folder / SEAL).unlink()
    assert seal_fault(folder) is None
    assert not is_sealed(folder)
    assert read_seal(folder) == {"about": {}, "files": {}}


def test_a_seal_says_what_the_arrays_are_about(folder):
    assert read_seal(folder)["about"] == {"keys": {"seed": 3}}


def test_the_content_has_one_digest_wherever_it_lies(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "elsewhere")
    assert content_digest(copy) == content_digest(folder)
    flip(copy / LARGE)
    assert content_digest(copy) != content_digest(folder)
