"""Leaks that the removal rule does not cover, made on disk and found by the command."""

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from absl import logging
from PIL import Image

from data_pipelines.checking.examination import image_warnings
from data_pipelines.checking.verification import verify
from data_pipelines.reading.datasets import read
from data_pipelines.reading.records import DataError
from data_pipelines.storing import builders
from data_pipelines.storing.images import DEEP_RANGE

MODALITIES = ("R", "N", "T")
SPLITS = {"train": (11, 12), "query": (20, 21, 22), "gallery": (20, 21, 22)}
CAMERA = {"train": 1, "query": 1, "gallery": 2}


def write(path: Path, *seed: int) -> None:
    """A picture of its own for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 6, 3)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse).resize((40, 40)).save(path)


@pytest.fixture
def mine(tmp_path) -> Path:
    """A set in folders without any copy."""
    for s, (split, pids) in enumerate(SPLITS.items()):
        for pid in pids:
            for m, modality in enumerate(MODALITIES):
                write(tmp_path / "mine" / split / modality / f"{pid}_c{CAMERA[split]}.png", s, pid, m)
    return tmp_path / "mine"


def copy(mine: Path, source: str, target: str, how=shutil.copyfile) -> None:
    """Copy a triple, `split/name`, to another name."""
    (from_split, from_name), (to_split, to_name) = source.split("/"), target.split("/")
    for modality in MODALITIES:
        how(mine / from_split / modality / from_name, mine / to_split / modality / to_name)


def anew(source: Path, target: Path) -> None:
    with Image.open(source) as image:
        image.save(target, "JPEG", quality=60)


def half(source: Path, target: Path) -> None:
    with Image.open(source) as image:
        image.resize((24, 24)).save(target, "PNG")


def said(root: Path, name: str = "folder") -> str:
    dataset = read(name, root)
    return "\n".join(image_warnings(dataset, verify(dataset), DEEP_RANGE))


def test_a_set_without_copies_needs_no_word(mine):
    assert said(mine) == ""


@pytest.mark.parametrize("how", [shutil.copyfile, os.link, os.symlink])
def test_a_query_copied_into_the_gallery_under_another_camera_is_named(mine, how):
    copy(mine, "query/20_c1.png", "gallery/20_c9.png", how)
    text = said(mine)
    assert "1 of 3 queries have a copy, byte for byte, in the gallery under the same pid" in text
    assert "which the rule 'same pid and same camid' leaves in place" in text
    assert "query/R/20_c1.png = gallery/R/20_c9.png" in text
    assert "R1 would be measured on copies" not in text


def test_a_copy_of_one_modality_alone_is_named(mine):
    shutil.copyfile(mine / "query/T/20_c1.png", mine / "gallery/T/20_c2.png")
    assert "1 of 3 queries have a copy" in said(mine)


def test_a_copy_that_the_rule_removes_is_no_matter(mine):
    copy(mine, "query/20_c1.png", "gallery/20_c1.png")
    copy(mine, "query/21_c1.png", "gallery/21_c1.png", half)
    assert said(mine) == ""


def test_when_most_queries_are_copied_one_sentence_says_what_it_means(mine):
    copy(mine, "query/20_c1.png", "gallery/20_c9.png")
    copy(mine, "query/21_c1.png", "gallery/21_c8.png", anew)
    text = said(mine)
    assert text.startswith("folder: most queries have a copy or a near-copy in the gallery")
    assert "R1 would be measured on copies and say nothing of recognition. Correct the camid" in text


@pytest.mark.parametrize("how", [anew, half])
def test_a_query_encoded_anew_or_rescaled_is_a_near_copy(mine, how):
    copy(mine, "query/20_c1.png", "gallery/20_c9.png", how)
    text = said(mine)
    assert "1 of 3 queries have a near-copy in the gallery" in text
    assert "query/R/20_c1.png ≈ gallery/R/20_c9.png" in text


@pytest.mark.parametrize("split", ["query", "gallery"])
def test_a_training_image_encoded_anew_in_the_test_is_named(mine, split):
    copy(mine, "train/11_c1.png", f"{split}/20_c5.png", anew)
    text = said(mine)
    assert "3 files of train are near-copies (encoded anew or rescaled) of files of query or gallery" in text
    assert f"train/R/11_c1.png ≈ {split}/R/20_c5.png" in text


@pytest.mark.parametrize("split", ["train", "query", "gallery"])
def test_a_triple_entered_twice_in_a_split_is_named(mine, split):
    pid = SPLITS[split][0]
    copy(mine, f"{split}/{pid}_c{CAMERA[split]}.png", f"{split}/{pid}_c{CAMERA[split]}_again.png")
    assert f"1 triples of {split} are entered twice, byte for byte under one pid, and count twice" in said(
        mine
    )


def test_a_dead_camera_is_counted_and_is_no_copy(mine):
    for split in ("query", "gallery"):
        for path in (mine / split / "T").iterdir():
            Image.new("L", (40, 40)).save(path)
    text = said(mine)
    assert (
        "6 files show one value throughout, as a dead camera or a placeholder does: query/T/20_c1.png" in text
    )
    assert "quer" not in text.replace("query/", "")


def table(mine: Path, *rows: str) -> Path:
    """A manifest of these rows over the files of `mine`, and of what every set needs."""
    usual = [
        f"{split},{split}/R/{pid}_c{CAMERA[split]}.png,{split}/N/{pid}_c{CAMERA[split]}.png,"
        f"{split}/T/{pid}_c{CAMERA[split]}.png,{pid},{CAMERA[split]}"
        for split, pids in SPLITS.items()
        for pid in pids
    ]
    path = mine / "manifest.csv"
    path.write_text("\n".join(["split,R,N,T,pid,camid", *usual, *rows]) + "\n")
    return path


def test_one_path_listed_as_query_and_gallery_is_named(mine):
    row = "gallery,query/R/20_c1.png,query/N/20_c1.png,query/T/20_c1.png,20,7"
    assert "query/R/20_c1.png = query/R/20_c1.png" in said(table(mine, row), "manifest")


def test_one_path_listed_under_two_identities_is_named(mine):
    row = "gallery,query/R/20_c1.png,query/N/20_c1.png,query/T/20_c1.png,21,7"
    text = said(table(mine, row), "manifest")
    assert "3 files have the very bytes of a file of another identity: query/N/20_c1.png = " in text


def test_one_path_written_in_two_ways_in_a_split_is_refused(mine):
    row = (
        "gallery,query/../gallery/R/20_c2.png,query/../gallery/N/20_c2.png,query/../gallery/T/20_c2.png,20,2"
    )
    with pytest.raises(DataError, match="3 files occur in several rows of the split gallery"):
        read("manifest", table(mine, row))


def test_a_set_whose_query_and_gallery_are_one_list_is_warned_of_no_copy(tmp_path):
    for split, names in (
        ("train_171", ["000001_cam1_0_00"]),
        ("test", ["000258_cam1_0_00", "000258_cam3_0_00"]),
    ):
        for m, modality in enumerate(("RGB", "NI", "TI")):
            for i, name in enumerate(names):
                write(tmp_path / "RGBNT201" / split / modality / f"{name}.png", m, i, len(split))
    assert said(tmp_path, "rgbnt201") == ""
    for modality in ("RGB", "NI", "TI"):
        folder = tmp_path / "RGBNT201" / "test" / modality
        shutil.copyfile(folder / "000258_cam1_0_00.png", folder / "000258_cam4_0_00.png")
    assert "2 of 3 queries have a copy, byte for byte" in said(tmp_path, "rgbnt201")


def test_the_warning_is_logged_again_whenever_the_prepared_set_is_used(mine, monkeypatch):
    copy(mine, "query/20_c1.png", "gallery/20_c9.png")
    logged: list[str] = []
    monkeypatch.setattr(logging, "warning", lambda message, *args: logged.append(message % args))
    for _ in range(2):
        builders.prepare_dataset("folder", mine, mine.parent / "out", (16, 16))
    assert sum("1 of 3 queries have a copy, byte for byte" in line for line in logged) == 2


def test_near_copies_of_a_copy_by_buffer_need_no_file_name(mine):
    # Other suffix, other name, other size: only what is seen counts.
    buffer = io.BytesIO()
    for modality in MODALITIES:
        with Image.open(mine / "query" / modality / "22_c1.png") as image:
            image.resize((80, 80)).save(buffer := io.BytesIO(), "BMP")
        (mine / "gallery" / modality / "22_c6_renamed.bmp").write_bytes(buffer.getvalue())
    assert "1 of 3 queries have a near-copy" in said(mine)


def crowd(mine: Path) -> None:
    """Six more identities, so that the pictures show what they have in common."""
    for pid in range(30, 36):
        for m, modality in enumerate(MODALITIES):
            write(mine / "train" / modality / f"{pid}_c1.png", pid, m)


def letterboxed(pixels: np.ndarray) -> np.ndarray:
    pixels[:, :12] = pixels[:, -12:] = 0
    return pixels


def with_a_dead_row(pixels: np.ndarray) -> np.ndarray:
    pixels = pixels // 20
    pixels[-2:] = 255
    return pixels


def with_an_overlay(pixels: np.ndarray) -> np.ndarray:
    pixels[:8], pixels[2:6, 2:38:2] = 0, 255
    return pixels


def under_a_vignette(pixels: np.ndarray) -> np.ndarray:
    rows, columns = np.mgrid[-1:1:40j, -1:1:40j]
    return (200 * np.exp(-2 * (rows**2 + columns**2))[..., None] + pixels / 12).astype(np.uint8)


common = pytest.mark.parametrize("pattern", [letterboxed, with_a_dead_row, with_an_overlay, under_a_vignette])


def repaint(mine: Path, pattern) -> None:
    for path in mine.rglob("*.png"):
        with Image.open(path) as image:
            pixels = pattern(np.array(image))
        Image.fromarray(pixels).save(path)


@common
def test_what_all_pictures_have_in_common_makes_no_near_copies(mine, pattern):
    crowd(mine)
    repaint(mine, pattern)
    assert "quer" not in said(mine)
    assert "of train" not in said(mine)


@pytest.mark.parametrize("pattern", [letterboxed, with_an_overlay])
def test_copies_of_pictures_with_a_common_pattern_are_found(mine, pattern):
    crowd(mine)
    repaint(mine, pattern)
    copy(mine, "query/20_c1.png", "gallery/20_c8.png")
    copy(mine, "query/21_c1.png", "gallery/21_c9.png", anew)
    text = said(mine)
    assert "1 of 3 queries have a copy, byte for byte" in text
    assert "1 of 3 queries have a near-copy" in text


@pytest.mark.parametrize("pattern", [with_a_dead_row, under_a_vignette])
def test_where_near_copies_can_hardly_be_told_it_is_said(mine, pattern):
    crowd(mine)
    assert said(mine) == ""
    repaint(mine, pattern)
    assert "the images of R, N, T have most of their looks in common" in said(mine)


def test_queries_without_an_identity_are_not_said_to_be_under_one(mine):
    for split in ("query", "gallery"):
        (mine / split).rename(mine / f"unlabelled_{split}")
    copy(mine, "unlabelled_query/20_c1.png", "unlabelled_gallery/20_c9.png")
    assert said(mine) == ""


def test_blank_files_are_no_file_of_another_identity(mine):
    for split in SPLITS:
        for path in (mine / split / "T").iterdir():
            Image.new("L", (40, 40)).save(path)
    assert len(said(mine).splitlines()) == 1
