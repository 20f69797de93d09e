"""A prepared set is known again by its content: wherever it lies, whenever its files were written."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from data_pipelines.loading.storage import store
from data_pipelines.reading.readers import wmveid863
from data_pipelines.reading.records import DataError
from data_pipelines.storing import builders
from data_pipelines.storing.shards import Triples
from tests.data_pipelines.preparing import SIZE, prepare
from tests.data_pipelines.trees import write_picture, write_wmveid863

RED = "train/0007/vis/v1_n1_s001_001.jpg"


def contents(tree: Path, split: str = "train") -> dict[str, str]:
    return dict(getattr(builders.load(prepare(tree)), split).fingerprints)


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return [name for name in before if before[name] != after[name]]


def test_a_copy_elsewhere_with_other_times_has_the_same_fingerprint(tree, tmp_path):
    before = contents(tree)
    copy = shutil.copytree(tree, tmp_path / "elsewhere" / tree.name)
    for path in copy.rglob("*.jpg"):
        os.utime(path, ns=(0, 1))
    assert contents(copy) == before
    assert set(before) == {"labels", "R", "N", "T"}


def test_a_file_of_another_content_changes_its_modality_alone(tree):
    before = contents(tree)
    write_picture(tree / RED, (9, 9, 9))
    assert changed(before, contents(tree)) == ["R"]


def test_two_identities_that_change_places_change_the_labels_or_the_images(tree):
    before = contents(tree)
    for old, new in (("0007", "x"), ("0012", "0007"), ("x", "0012")):
        (tree / "train" / old).rename(tree / "train" / new)
    assert changed(before, contents(tree))


def test_another_camera_changes_the_labels_of_that_split_alone(tree):
    before, query = contents(tree, "gallery"), contents(tree, "query")
    for path in list(tree.glob("test/0101/*/v1_*")):
        path.rename(path.with_name(path.name.replace("v1_", "v7_", 1)))
    assert changed(before, contents(tree, "gallery")) == ["labels"]
    assert contents(tree, "query") == query


def test_a_file_renamed_in_its_place_changes_nothing(tree):
    before = contents(tree)
    for modality in ("vis", "ni", "th"):
        path = tree / RED.replace("vis", modality)
        path.rename(path.with_name(path.name.replace("_001.jpg", "_001.jpeg")))
    assert contents(tree) == before


# --- what was prepared is what it says it is


def test_a_folder_of_an_older_form_is_prepared_anew_and_that_is_said(tree, caplog):
    prepared = prepare(tree)
    prepared.rename(prepared.with_name("1.0.0"))
    with caplog.at_level("INFO", logger="absl"):
        assert prepare(tree).name == str(Triples.VERSION)
    assert "is of the older form 1.0.0, which has no fingerprint of its content" in caplog.text


@pytest.mark.parametrize(
    ("key", "value"), [("name", "rgbnt100"), ("image_size", [8, 8]), ("fingerprint", "")]
)
def test_a_folder_renamed_to_what_it_is_not_is_prepared_anew(tree, key, value):
    prepared = prepare(tree)
    table = json.loads((prepared / "metadata.json").read_text())
    (prepared / "metadata.json").write_text(json.dumps(table | {key: value}))
    assert builders.load(prepare(tree)).image_size == SIZE
    assert json.loads((prepared / "metadata.json").read_text())[key] == table[key]


def test_shards_of_another_set_under_this_table_are_refused(tree, tmp_path):
    prepared = prepare(tree)
    names = ["0031/v2_n1_s001_001.jpg", "0031/v2_n1_s001_002.jpg", "0032/v2_n1_s001_001.jpg"]
    other = wmveid863.read(write_wmveid863(tmp_path / "other" / "tree", {"train": names}))
    foreign = builders.prepare(other, tmp_path / "other" / "out", image_size=SIZE)
    for path in foreign.glob("*-train.array_record-*"):
        shutil.copy(path, prepared / path.name)
    with pytest.raises(
        DataError, match=r"of train has the \w+ .* in the shards and .* they are of two data sets"
    ):
        builders.load(prepared)


# --- a mapped file beside the shards


def _cut(path: Path) -> None:
    os.truncate(path, 300)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)


def _other_length(path: Path) -> None:
    np.save(path, np.load(path)[:-1])


def _other_content(path: Path) -> None:
    np.save(path, 255 - np.load(path))


def _other_type(path: Path) -> None:
    np.save(path, np.load(path).astype(np.int16))


@pytest.mark.parametrize("damage", [_cut, _empty, _flip, _other_length, _other_content, _other_type])
def test_a_mapped_file_that_is_not_the_split_s_is_written_anew(tree, caplog, damage):
    train = builders.load(prepare(tree)).train
    store(train, "mapped")
    damage(path := train.images.directory / "train.npy")
    with caplog.at_level("WARNING", logger="absl"):
        stored = store(train, "mapped")
    np.testing.assert_array_equal(stored.read(np.arange(3)), train.read(np.arange(3)))
    assert f"{path} does not hold the images of the shards beside it; writing it anew" in caplog.text


def test_a_mapped_file_with_another_time_is_read_and_kept(tree, caplog):
    train = builders.load(prepare(tree)).train
    store(train, "mapped")
    path = train.images.directory / "train.npy"
    os.utime(path, ns=(0, 1))
    with caplog.at_level("WARNING", logger="absl"):
        store(train, "mapped")
    assert path.stat().st_mtime_ns == 1
    assert not caplog.text
