"""Numbers that can be read in two ways or are too long, in tables and in every layout."""

import numpy as np
import pyarrow.parquet
import pytest

from data_pipelines.prepare import report_and_prepare
from data_pipelines.reading import datasets
from data_pipelines.reading.numbers import LARGEST
from data_pipelines.reading.records import DataError
from data_pipelines.storing import builders
from tests.data_pipelines.manifests import HEADER, ROWS, with_cell, with_column, write_csv, write_parquet
from tests.data_pipelines.trees import TREES, write_rgbnt100, write_triples

both_kinds = pytest.mark.parametrize("write", [write_csv, write_parquet])
MODALITIES = ("R", "N", "T")


def refusal(name, path) -> str:
    with pytest.raises(DataError) as error:
        datasets.read(name, path)
    return str(error.value)


@both_kinds
@pytest.mark.parametrize("column", ["pid", "camid"])
@pytest.mark.parametrize("written", ["002", "02"])
def test_a_number_written_in_two_ways_is_refused_with_both_rows(tmp_path, write, column, written):
    rows = [tuple("2" if HEADER[i] == column else cell for i, cell in enumerate(row)) for row in ROWS]
    place = HEADER.index(column)
    rows[1] = (*rows[1][:place], written, *rows[1][place + 1 :])
    said = refusal("manifest", write(tmp_path, rows=rows))
    first, second = (2, 3) if write is write_csv else (1, 2)
    assert f"{column} 2 is '2' in {tmp_path}/mine" in said
    assert f", row {first} and '{written}' in {tmp_path}/mine" in said
    assert f", row {second}: one or two?" in said


def test_a_scene_written_in_two_ways_is_refused(tmp_path):
    header, rows = with_column("scene", "3")
    rows[3] = (*rows[3][:6], "03")
    assert "scene 3 is '3' in" in refusal("manifest", write_csv(tmp_path, header, rows))


@both_kinds
def test_a_fraction_of_zeros_is_the_same_number(tmp_path, write):
    dataset = datasets.read("manifest", write(tmp_path, rows=with_cell(3, "pid", "90.0")))
    assert dataset.splits["gallery"][0].pid == dataset.splits["query"][0].pid == 90


@both_kinds
@pytest.mark.parametrize(
    ("cell", "answer"),
    [
        ("1e3", "with all its digits; a spreadsheet or data frame has shortened this one"),
        ("1.5E+16", "with all its digits"),
        ("1.000", "which is 1 in one country and 1000 in another"),
        ("12.000", "which is 12 in one country and 12000 in another"),
        ("1 000", "without separators"),
        ("1'000", "without separators"),
        ("1.000.000", "without separators"),
        ("0x12", "write a whole number from 0"),
        ("7-8", "write a whole number from 0"),
        ("١٢", "write a whole number from 0"),
        ("True", "write a whole number from 0"),
        ("inf", "write a whole number from 0"),
    ],
)
def test_a_value_that_is_no_plain_number_is_refused_with_its_row(tmp_path, write, cell, answer):
    said = refusal("manifest", write(tmp_path, rows=with_cell(1, "pid", cell)))
    assert f"row {3 if write is write_csv else 2}: pid is {cell!r}" in said
    assert answer in said


def test_a_thousands_comma_in_quotation_marks_is_refused(tmp_path):
    said = refusal("manifest", write_csv(tmp_path, rows=with_cell(1, "pid", '"1,000"')))
    assert "row 3: pid is '1,000'; write a whole number from 0, without separators" in said


@pytest.mark.parametrize("cell", [" 12", "12 ", "\t12", "\xa012\u202f"])
def test_white_space_around_a_number_does_no_harm(tmp_path, cell):
    dataset = datasets.read("manifest", write_csv(tmp_path, rows=with_cell(1, "pid", cell)))
    assert dataset.splits["train"][1].pid == 12


def test_a_parquet_fraction_that_has_lost_digits_is_refused(tmp_path):
    rows = [(*row[:4], 2.0**53 + 2 * i, 1 + i) for i, row in enumerate(ROWS)]
    said = refusal("manifest", write_parquet(tmp_path, rows=rows))
    assert "row 1: pid is 9007199254740992.0, a floating-point number" in said


@pytest.mark.parametrize(("kind", "first"), [("float32", 2**24), ("float16", 2**11)])
@pytest.mark.parametrize("is_categorical", [False, True])
def test_a_short_fraction_that_has_lost_digits_is_refused(tmp_path, kind, first, is_categorical):
    """Two identities that follow one another there are one number: `downcast="float"` of a data frame does so."""
    path = write_parquet(tmp_path)
    table = pyarrow.parquet.read_table(path)
    pids = pyarrow.array(np.resize(np.array([first, first + 1], kind), len(ROWS)))
    column = pids.dictionary_encode() if is_categorical else pids
    pyarrow.parquet.write_table(table.set_column(HEADER.index("pid"), "pid", column), path)
    assert f"row 1: pid is {float(first)}, a floating-point number" in refusal("manifest", path)


# --- folders


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("007_c1.jpg", "7_c2.jpg"), "pid 7 is '007' in"),
        (("7_c1.jpg", "7_c01.jpg"), "camid 1 is"),
        (("0_c1.jpg", "00_c1_a.jpg"), "pid 0 is"),
    ],
)
@pytest.mark.parametrize("split", ["train", "gallery"])
def test_a_number_written_in_two_ways_is_refused_with_both_files(tmp_path, names, said, split):
    for each in ("train", "query", "gallery"):
        write_triples(tmp_path / each, [names[0], "90_c1.jpg"], MODALITIES)
    write_triples(tmp_path / split, [names[1]], MODALITIES)
    message = refusal("folder", tmp_path)
    assert said in message
    assert all(f"/R/{name}" in message for name in names)
    assert "one or two?" in message


def test_identity_folders_of_two_splits_that_write_a_number_in_two_ways_are_refused(tmp_path):
    for split, identity in (("train", "1"), ("query", "007"), ("test", "7")):
        write_triples(tmp_path / split, [f"{identity}/v{len(split)}_1.jpg"], ("vis", "ni", "th"))
    said = refusal("wmveid863", tmp_path)
    assert "pid 7 is '007'" in said
    assert "test/7/vis" in said


def numbered(name: str, number: str) -> dict[str, list[str]]:
    """A tree of each set whose training identity is `number`."""
    return {
        "rgbnt100": [f"{number}_c1_1.jpg"],
        "msvr310": [f"{number}/{number}_s1_v1_1.jpg"],
        "msvr310_neo": [f"{number}/v1_n1_s1_1.jpg"],
        "wmveid863": [f"{number}/v1_n1_s1_1.jpg"],
        "market1501mm": [f"{number}_c1s1_1_1.jpg"],
        "folder": [f"{number}_c1.jpg"],
    }[name]


def write_set(base, name: str, number: str):
    names = numbered(name, number)
    if name == "rgbnt100":
        return write_rgbnt100(base, {"bounding_box_train": names})
    if name == "folder":
        for split, some in {"train": names, "query": ["1_c1.jpg"], "gallery": ["1_c2.jpg"]}.items():
            write_triples(base / split, some, MODALITIES)
        return base
    folders = (
        ("bounding_box_train", "query3", "bounding_box_test")
        if name == "msvr310"
        else ("train", "query", "test")
    )
    if name == "market1501mm":
        folders = ("train", "query", "gallery")
    tree = TREES[name]
    for split, folder in zip(("train", "query", "gallery"), folders, strict=True):
        write_triples(base / folder, names if split == "train" else tree.names[split], tree.modalities)
    return base


@pytest.mark.parametrize(
    "name", ["rgbnt100", "msvr310", "msvr310_neo", "wmveid863", "market1501mm", "folder"]
)
@pytest.mark.parametrize("number", [str(LARGEST + 1), "20230815123045120001", "9" * 150])
def test_a_number_beyond_64_bits_is_refused_by_the_check_for_every_reader(tmp_path, name, number):
    base = write_set(tmp_path, name, number)
    with pytest.raises(DataError, match=rf"pid is {number[:40]}.*at most {LARGEST} is kept"):
        report_and_prepare(name.removesuffix("_neo"), str(base), None, (16, 12), (0, 65535))


@pytest.mark.parametrize("name", ["12_c99999999999999999999.jpg", "12_c9223372036854775808_1.jpg"])
def test_a_camera_beyond_64_bits_is_refused(tmp_path, name):
    for split in ("train", "query", "gallery"):
        write_triples(tmp_path / split, [name], MODALITIES)
    assert "camid is 9" in refusal("folder", tmp_path)


def test_a_scene_beyond_64_bits_is_refused(tmp_path):
    header, rows = with_column("scene", "1" * 5000)
    said = refusal("manifest", write_csv(tmp_path, header, rows))
    assert f"row 2: scene is {'1' * 40}… (5000 digits), at most" in said


def test_the_largest_number_goes_all_the_way(tmp_path):
    for split, names in {
        "train": [f"{LARGEST}_c{LARGEST}.jpg"],
        "query": ["1_c1.jpg"],
        "gallery": ["1_c2.jpg"],
    }.items():
        write_triples(tmp_path / "mine" / split, names, MODALITIES)
    prepared = builders.prepare_dataset("folder", tmp_path / "mine", tmp_path / "out", (8, 8))
    assert prepared.train.pids.tolist() == prepared.train.camids.tolist() == [LARGEST]
    assert prepared.train[0].shape == (3, 8, 8, 3)


def test_a_field_that_no_rule_compares_may_be_written_in_two_ways(tmp_path):
    names = ("000001_cam1_0_00.jpg", "000001_cam2_00_01.jpg")
    for folder in ("train_171", "test"):
        write_triples(tmp_path / folder, names, ("RGB", "NI", "TI"))
    assert len(datasets.read("rgbnt201", tmp_path).splits["gallery"]) == 2
