"""Data of one's own: folders, and manifests in CSV and Parquet."""

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from data_pipelines.reading import datasets
from data_pipelines.reading.records import UNLABELLED, DataError
from data_pipelines.storing import builders
from tests.data_pipelines.trees import write_picture, write_triples

MODALITIES = ("R", "N", "T")
NAMES = {
    "train": ("12_c3_first.jpg", "12_c0_second.jpg", "4_c3_größe.jpg"),
    "query": ("100_c1.jpg",),
    "gallery": ("100_c1.jpg", "100_c2_a.jpg", "0_c7.jpg"),
}


def write_folders(base: Path, modalities: Sequence[str] = MODALITIES) -> Path:
    for split, names in NAMES.items():
        write_triples(base / split, names, modalities)
    return base


# --- folders


def test_a_folder_of_one_s_own_is_read_by_its_names(tmp_path):
    dataset = datasets.read("folder", write_folders(tmp_path))
    found = {
        split: {(r.name, r.pid, r.camid, r.scene) for r in records}
        for split, records in dataset.splits.items()
    }
    assert found == {
        "train": {
            ("12_c3_first.jpg", 12, 3, -1),
            ("12_c0_second.jpg", 12, 0, -1),
            ("4_c3_größe.jpg", 4, 3, -1),
        },
        "query": {("100_c1.jpg", 100, 1, -1)},
        "gallery": {("100_c1.jpg", 100, 1, -1), ("100_c2_a.jpg", 100, 2, -1), ("0_c7.jpg", 0, 7, -1)},
    }
    assert (dataset.removal, dataset.warnings) == ("camid", ())


def test_its_images_are_in_the_order_of_the_folders(tmp_path):
    for record in datasets.read("folder", write_folders(tmp_path)).splits["train"]:
        assert [image.path.parent.name for image in record.images] == list(MODALITIES)


@pytest.mark.parametrize("modalities", [("R",), ("R", "T"), ("N", "T")])
def test_a_set_may_lack_modalities(tmp_path, modalities):
    dataset = datasets.read("folder", write_folders(tmp_path, modalities))
    assert dataset.modalities == modalities
    for records in dataset.splits.values():
        for record in records:
            assert tuple(image.path.parent.name for image in record.images) == modalities


def test_a_split_that_lacks_a_modality_of_another_is_named(tmp_path):
    shutil.rmtree(write_folders(tmp_path) / "gallery/N")
    with pytest.raises(DataError, match="gallery has no folder N"):
        datasets.read("folder", tmp_path)


def test_a_set_of_no_modality_says_which_folders_are_looked_for(tmp_path):
    with pytest.raises(DataError, match="train has no folder R"):
        datasets.read("folder", write_folders(tmp_path, ("vis", "ni", "th")))


def test_an_unlabelled_target_needs_no_names(tmp_path):
    (write_folders(tmp_path) / "train").rename(tmp_path / "gone")
    write_triples(tmp_path / "unlabelled", ["IMG 0001.jpg", "drive_c5_0002.jpg"], MODALITIES)
    train = datasets.read("folder", tmp_path).splits["train"]
    assert [(r.name, r.pid, r.camid) for r in train] == [
        ("IMG 0001.jpg", UNLABELLED, 0),
        ("drive_c5_0002.jpg", UNLABELLED, 5),
    ]


def test_train_and_unlabelled_at_once_are_refused(tmp_path):
    (write_folders(tmp_path) / "unlabelled").mkdir()
    with pytest.raises(DataError, match="both train/ and unlabelled/"):
        datasets.read("folder", tmp_path)


def test_a_labelled_name_that_does_not_parse_is_answered_with_both_ways_out(tmp_path):
    write_triples(write_folders(tmp_path) / "train", ["IMG_0001.jpg"], MODALITIES)
    with pytest.raises(DataError, match=r"train/R/IMG_0001\.jpg: .*12_c3_anything\.jpg.*unlabelled/"):
        datasets.read("folder", tmp_path)


def test_orphans_are_left_out_and_named(tmp_path):
    write_picture(write_folders(tmp_path) / "query/T/7_c0.jpg", (0, 0, 0))
    (warning,) = datasets.read("folder", tmp_path).warnings
    assert "1 files of query" in warning
    assert "query/T/7_c0.jpg" in warning


# --- manifests

ROWS = [
    {"split": "train", "R": "rgb/a.jpg", "N": "nir/x.jpg", "T": "heat/1.png", "pid": "7", "camid": "0"},
    {"split": "train", "R": "rgb/b.jpg", "N": "nir/y.jpg", "T": "heat/2.png", "pid": "", "camid": "1"},
    {"split": "query", "R": "rgb/q.jpg", "N": "nir/q.jpg", "T": "heat/q.png", "pid": "9", "camid": "2"},
    {"split": "gallery", "R": "rgb/q.jpg", "N": "nir/q.jpg", "T": "heat/q.png", "pid": "9", "camid": "2"},
    {"split": "gallery", "R": "rgb/g.jpg", "N": "nir/g.jpg", "T": "heat/g.png", "pid": "9", "camid": "3"},
]


def write_csv(path: Path, rows: list[dict[str, str]], encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        for name in MODALITIES:
            if row.get(name) and not (path.parent / row[name]).exists():
                write_picture(path.parent / row[name], (9, 9, 9))
    return path


def write_parquet(path: Path, rows: list[dict[str, str]]) -> Path:
    """With pid as a data frame stores it where one is missing: as floats, NaN among them."""
    write_csv(path.with_suffix(".csv"), rows).unlink()
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    columns["pid"] = [float(pid) if pid else float("nan") for pid in columns["pid"]]
    columns["camid"] = [int(camid) for camid in columns["camid"]]
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def changed(row: int, **cells: str) -> list[dict[str, str]]:
    return [other | cells if i == row else other for i, other in enumerate(ROWS)]


@pytest.mark.parametrize(("write", "suffix"), [(write_csv, ".csv"), (write_parquet, ".parquet")])
def test_a_manifest_says_everything_itself(tmp_path, write, suffix):
    path = write(tmp_path / f"mine{suffix}", ROWS)
    dataset = datasets.read("manifest", path)
    records = [r for split in ("train", "query", "gallery") for r in dataset.splits[split]]
    assert [(r.pid, r.camid, r.scene) for r in records] == [
        (7, 0, -1),
        (-1, 1, -1),
        (9, 2, -1),
        (9, 2, -1),
        (9, 3, -1),
    ]
    assert [[str(image.path) for image in r.images] for r in records] == [
        [f"{tmp_path}/{row[name]}" for name in MODALITIES] for row in ROWS
    ]
    assert (dataset.removal, dataset.warnings) == ("camid", ())


@pytest.mark.parametrize("empty", [True, False])
def test_a_manifest_may_lack_modalities(tmp_path, empty):
    rows = [row | {"N": ""} if empty else {k: v for k, v in row.items() if k != "N"} for row in ROWS]
    dataset = datasets.read("manifest", write_csv(tmp_path / "mine.csv", rows))
    assert dataset.modalities == ("R", "T")
    assert [image.path.parent.name for image in dataset.splits["query"][0].images] == ["rgb", "heat"]


@pytest.mark.parametrize("name", ["manifest.csv", "manifest.parquet"])
def test_the_folder_of_a_manifest_will_do(tmp_path, name):
    (write_csv if name.endswith("csv") else write_parquet)(tmp_path / name, ROWS)
    assert len(datasets.read("manifest", tmp_path).splits["train"]) == 2


def test_a_filled_scene_makes_the_rule_that_of_scenes(tmp_path):
    rows = [row | {"scene": "" if row["split"] == "train" else str(40 + i)} for i, row in enumerate(ROWS)]
    dataset = datasets.read("manifest", write_csv(tmp_path / "mine.csv", rows))
    assert dataset.removal == "scene"
    assert [r.scene for split in ("train", "query", "gallery") for r in dataset.splits[split]] == [
        -1,
        -1,
        42,
        43,
        44,
    ]


def test_a_prepared_set_of_scenes_compares_scenes(tmp_path):
    rows = [row | {"scene": str(40 + i)} for i, row in enumerate(ROWS)]
    path = write_csv(tmp_path / "mine.csv", rows)
    prepared = builders.prepare_dataset("manifest", path, tmp_path / "out", (8, 8))
    assert prepared.removal == prepared.gallery.removal == "scene"
    assert prepared.gallery.groups.tolist() == prepared.gallery.scenes.tolist() == [43, 44]
    assert prepared.gallery.camids.tolist() == [2, 3]


@pytest.mark.parametrize(("column", "cells"), [("pid", "pids"), ("camid", "camids"), ("scene", "scenes")])
def test_a_corrected_table_is_prepared_anew(tmp_path, column, cells):
    rows = [row | {"scene": str(40 + i)} for i, row in enumerate(ROWS)]
    for value in ("5", "6"):
        path = write_csv(tmp_path / "mine.csv", [rows[0] | {column: value}, *rows[1:]])
        prepared = builders.prepare_dataset("manifest", path, tmp_path / "out", (8, 8))
        assert getattr(prepared.train, cells)[0] == int(value)


def test_an_empty_scene_column_leaves_the_rule_of_cameras(tmp_path):
    path = write_csv(tmp_path / "mine.csv", [row | {"scene": ""} for row in ROWS])
    assert datasets.read("manifest", path).removal == "camid"


def test_paths_may_be_absolute_and_the_table_a_spreadsheet_s(tmp_path):
    rows = [row | {m: str(tmp_path / "elsewhere" / row[m]) for m in MODALITIES} for row in ROWS]
    path = write_csv(tmp_path / "tables" / "mine.csv", rows, encoding="utf-8-sig")
    prepared = builders.prepare_dataset("manifest", path, tmp_path / "out", (8, 8))
    assert prepared.train.pids.tolist() == [7, -1]
    assert (prepared.gallery[0] > 0).all()


def test_two_manifests_of_one_folder_do_not_overwrite_each_other(tmp_path):
    for name, value in (("one.csv", "5"), ("two.csv", "6")):
        write_csv(tmp_path / name, changed(0, pid=value))
    one, two = (
        builders.prepare_dataset("manifest", tmp_path / name, tmp_path / "out", (8, 8))
        for name in ("one.csv", "two.csv")
    )
    assert (one.train.pids[0], two.train.pids[0]) == (5, 6)
    assert (one.train[0] == two.train[0]).all()


def test_columns_that_are_not_read_are_named(tmp_path):
    path = write_csv(tmp_path / "mine.csv", [row | {"colour": "red"} for row in ROWS])
    assert datasets.read("manifest", path).warnings == ("manifest: columns that are not read: colour",)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (changed(2, N=""), r"row 4: no path in N, which other rows have; fill it, remove the row, or"),
        ([row | {"R": "", "N": "", "T": ""} for row in ROWS], r"no path in any of the columns R, N, T"),
        (changed(0, pid="truck"), r"row 2: pid is 'truck'; write a whole number"),
        (changed(0, pid="-1"), r"row 2: pid is '-1'; write a whole number from 0, or leave it empty"),
        (changed(0, pid="7.5"), r"row 2: pid is '7\.5'"),
        (changed(1, camid=""), r"row 3: camid is ''; write a whole number from 0$"),
        (changed(4, split="test"), r"row 6: split is 'test'; write train, query, gallery"),
        (changed(1, N="rgb/b.jpg"), r"row 3: one file stands for two modalities"),
        (changed(1, R="rgb/a.jpg"), r"1 files occur in several rows of the split train: .*rgb/a\.jpg"),
        (
            [{k: v for k, v in row.items() if k != "camid"} for row in ROWS],
            r"no column camid; there are split, R, N, T, pid",
        ),
        (ROWS[:3], r"no triple of gallery in .*mine\.csv"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_with_its_number(tmp_path, rows, message):
    path = write_csv(tmp_path / "mine.csv", rows)
    with pytest.raises(DataError, match=message):
        datasets.read("manifest", path)


def test_files_that_do_not_exist_are_named_with_their_rows(tmp_path):
    path = write_csv(tmp_path / "mine.csv", ROWS)
    (tmp_path / "nir/y.jpg").unlink()
    with pytest.raises(
        DataError, match=rf"1 files do not exist: row 3: nir/y\.jpg\. Paths are relative to {tmp_path}"
    ):
        datasets.read("manifest", path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("mine.csv", b"split,R\ntrain\n", "row 2: has 1 cells, the header 2"),
        ("mine.csv", b"split,R\ntrain,a,b\n", "row 2: has 3 cells, the header 2"),
        ("mine.csv", b"", "no row below the header"),
        ("mine.csv", "split,R\ntrain,größe\n".encode("latin-1"), "is not UTF-8"),
        ("mine.parquet", b"PAR1 nothing", "is not a Parquet file"),
        ("mine.txt", b"", r"not a table; give a \.csv or \.parquet file"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}.*{message}"):
        datasets.read("manifest", tmp_path / name)


def test_without_pyarrow_the_package_is_named(tmp_path, monkeypatch):
    path = write_parquet(tmp_path / "mine.parquet", ROWS)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(DataError, match=r"needs pyarrow; pip install pyarrow"):
        datasets.read("manifest", path)


def test_a_sixteen_bit_thermal_camera_goes_all_the_way(tmp_path):
    path = write_csv(tmp_path / "mine.csv", ROWS)
    Image.fromarray(np.full((20, 20), 30000, np.uint16)).save(tmp_path / "heat/1.png")
    prepared = builders.prepare_dataset("manifest", path, tmp_path / "out", (8, 8), (28000, 32000))
    assert (prepared.train[0][2] == 128).all()  # 127.5, to the even
