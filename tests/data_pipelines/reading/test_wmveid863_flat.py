"""WMVeID863 without folders of identities, as some public code expects it."""

import shutil

import pytest

from data_pipelines.reading import datasets
from data_pipelines.reading.records import DataError
from data_pipelines.storing import builders
from tests.data_pipelines.trees import MODALITY_FOLDERS, write_picture, write_triples

BY_VIEW = {
    "train": ("0007_v1_n1_s001_001.jpg", "0007_v2_n1_s001_002.jpg", "0012_v0_n1_s999_011.jpg"),
    "query": ("0100_v1_n1_s001_001.jpg",),
    "test": ("0100_v1_n1_s001_001.jpg", "0100_v2_n1_s001_001.jpg", "0101_v1_n1_s001_001.jpg"),
}
BY_CAMERA = {
    "train": ("000007_cam1_0_01.jpg", "000007_cam2_0_02.jpg", "000012_cam8_1_00.jpg"),
    "query": ("000100_cam1_0_00.jpg",),
    "test": ("000100_cam1_0_00.jpg", "000100_cam2_0_00.jpg"),
}


def write_flat(base, names=BY_VIEW):
    for split, some in names.items():
        write_triples(base / split, some, MODALITY_FOLDERS)
    return base


def refusal(base) -> str:
    with pytest.raises(DataError) as error:
        datasets.read("wmveid863", base)
    return str(error.value)


@pytest.mark.parametrize("root_name", ["", "WMVEID863", "MSVwild863_neo"])
def test_the_identity_and_the_view_come_from_the_name(tmp_path, root_name):
    write_flat(tmp_path / root_name)
    dataset = datasets.read("wmveid863", tmp_path)
    assert [(record.pid, record.camid, record.scene) for record in dataset.splits["train"]] == [
        (7, 1, -1),
        (7, 2, -1),
        (12, 0, -1),
    ]
    assert [[image.path.parent.name for image in record.images] for record in dataset.splits["query"]] == [
        ["vis", "ni", "th"]
    ]
    assert (dataset.removal, dataset.warnings) == ("camid", ())


def test_cameras_count_from_one(tmp_path):
    train = datasets.read("wmveid863", write_flat(tmp_path, BY_CAMERA)).splits["train"]
    assert [(record.pid, record.camid) for record in train] == [(7, 0), (7, 1), (12, 7)]


def test_the_gallery_may_be_called_gallery(tmp_path):
    (write_flat(tmp_path) / "test").rename(tmp_path / "gallery")
    assert len(datasets.read("wmveid863", tmp_path).splits["gallery"]) == 3


def test_both_layouts_give_the_same_prepared_set(tmp_path):
    nested = {split: [name.replace("_", "/", 1) for name in names] for split, names in BY_VIEW.items()}
    write_flat(tmp_path / "flat")
    write_flat(tmp_path / "nested", nested)
    flat, folders = (
        builders.prepare_dataset("wmveid863", tmp_path / each, tmp_path / "out", (8, 8))
        for each in ("flat", "nested")
    )
    for split in ("train", "query", "gallery"):
        one, other = getattr(flat, split), getattr(folders, split)
        assert one.pids.tolist() == other.pids.tolist()
        assert one.camids.tolist() == other.camids.tolist()
        assert all((one[i] == other[i]).all() for i in range(len(one)))


@pytest.mark.parametrize("split", ["train", "query", "test"])
def test_both_layouts_at_once_are_refused(tmp_path, split):
    write_triples(write_flat(tmp_path) / split, ["0100/v1_n1_s001_009.jpg"], MODALITY_FOLDERS)
    said = refusal(tmp_path)
    assert f"{tmp_path}/train/ni is a modality of the flat layout" in said
    assert f"{tmp_path}/{split}/0100 an identity of the other one" in said


def test_a_flat_split_among_others_is_refused(tmp_path):
    write_flat(tmp_path)
    shutil.rmtree(tmp_path / "query")
    write_triples(tmp_path / "query", ["0100/v1_n1_s001_001.jpg"], MODALITY_FOLDERS)
    assert "keep the files of one layout" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v1_n1_s999_011.jpg", "expected the identity, then a view v0 to v7 or a camera from cam1"),
        ("car_0007_v1.jpg", "not a WMVeID863 name of the flat layout"),
        ("0007.jpg", "not a WMVeID863 name of the flat layout"),
        ("0007_v8_n1.jpg", "not a WMVeID863 name of the flat layout"),
        ("000007_cam0_0_00.jpg", "not a WMVeID863 name of the flat layout"),
        ("0007_v1_cam2_00.jpg", "has a view, v1, and a camera, cam2; which of them is the camera?"),
        ("0007_v1_v2_00.jpg", "its name has 1 and 2 where one number is read"),
        ("000008_cam1_0_00.jpg", "a set has one kind of names"),
        ("7_v1_n1_s001_001.jpg", "pid 7 is '0007' in"),
        ("99999999999999999999_v1_n1.jpg", "pid is 99999999999999999999, at most"),
    ],
)
def test_a_name_that_can_be_read_in_no_way_or_in_two_is_refused(tmp_path, name, message):
    write_triples(write_flat(tmp_path) / "train", [name], MODALITY_FOLDERS)
    said = refusal(tmp_path)
    assert message in said
    assert f"train/vis/{name}" in said


@pytest.mark.parametrize("name", ["0007/v1_v2_n1.jpg"])
def test_a_view_that_is_there_twice_is_refused_in_the_other_layout_too(tmp_path, name):
    for split in ("train", "query", "test"):
        write_triples(tmp_path / split, [name], MODALITY_FOLDERS)
    assert "where one number is read" in refusal(tmp_path)


def test_orphans_are_left_out_and_suffixes_may_differ(tmp_path):
    base = write_flat(tmp_path)
    (base / "train/ni/0007_v2_n1_s001_002.jpg").unlink()
    for path in base.glob("*/th/*.jpg"):
        path.rename(path.with_suffix(".png"))
    write_picture(base / "query/th/0007_v1_alone.png", (0, 0, 0))
    dataset = datasets.read("wmveid863", base)
    assert [record.pid for record in dataset.splits["train"]] == [7, 12]
    assert [warning.split(" lack")[0] for warning in dataset.warnings] == [
        "wmveid863: 2 files of train",
        "wmveid863: 1 files of query",
    ]
