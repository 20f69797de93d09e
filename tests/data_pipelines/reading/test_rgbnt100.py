import pytest

from data_pipelines.reading.readers import rgbnt100
from data_pipelines.reading.records import DataError
from tests.data_pipelines.trees import write_rgbnt100, write_rgbnt100_picture


def test_identity_and_camera_come_from_the_name(tmp_path):
    train = rgbnt100.read(write_rgbnt100(tmp_path)).splits["train"]
    assert [(record.pid, record.camid, record.scene) for record in train] == [
        (1, 0, -1),
        (1, 1, -1),
        (3, 0, -1),
    ]


def test_the_three_modalities_are_crops_of_one_picture(tmp_path):
    record = rgbnt100.read(write_rgbnt100(tmp_path)).splits["train"][0]
    assert [image.box for image in record.images] == [
        (0, 0, 256, 128),
        (256, 0, 512, 128),
        (512, 0, 768, 128),
    ]
    assert len({image.path for image in record.images}) == 1


@pytest.mark.parametrize("layout", ["", "rgbir", "rgbirt", "RGBNT100", "RGBNT100/rgbir", "RGBNT100/rgbirt"])
def test_every_known_layout_is_found(tmp_path, layout):
    write_rgbnt100(tmp_path / layout)
    assert {split: len(records) for split, records in rgbnt100.read(tmp_path).splits.items()} == {
        "train": 3,
        "query": 2,
        "gallery": 3,
    }


def test_a_parent_folder_that_looks_like_a_name_is_not_parsed(tmp_path):
    dataset = rgbnt100.read(write_rgbnt100(tmp_path / "run1_c2"))
    assert [record.pid for record in dataset.splits["query"]] == [502, 503]


def test_records_are_sorted_by_name(tmp_path):
    base = write_rgbnt100(tmp_path, {"bounding_box_train": ["0009_c0001_000.jpg", "0002_c0001_000.jpg"]})
    names = [record.name for record in rgbnt100.read(base).splits["train"]]
    assert names == sorted(names)


def test_junk_is_left_out_and_counted(tmp_path):
    base = write_rgbnt100(tmp_path)
    write_rgbnt100_picture(base / "bounding_box_test" / "-1_c0001_000.jpg")
    dataset = rgbnt100.read(base)
    assert len(dataset.splits["gallery"]) == 3
    assert "gallery: 1 junk" in dataset.warnings[0]


def test_hidden_and_foreign_files_are_passed_over(tmp_path):
    base = write_rgbnt100(tmp_path)
    (base / "query" / "Thumbs.db").touch()
    (base / "query" / "._0502_c0001_000.jpg").touch()
    assert len(rgbnt100.read(base).splits["query"]) == 2


@pytest.mark.parametrize("name", ["car.jpg", "0001_000.jpg", "0001_c0000_000.jpg"])
def test_a_name_that_does_not_parse_is_named_beside_an_example(tmp_path, name):
    base = write_rgbnt100(tmp_path)
    write_rgbnt100_picture(base / "query" / name)
    with pytest.raises(DataError, match=rf"query/{name}.*0502_c0001_000\.jpg"):
        rgbnt100.read(base)


def test_identities_in_both_train_and_test_are_named(tmp_path):
    base = write_rgbnt100(tmp_path, {"bounding_box_train": ["0502_c0001_000.jpg"]})
    (warning,) = rgbnt100.read(base).warnings
    assert "both train and test: 502" in warning


def test_a_root_without_the_data_set_lists_what_is_there(tmp_path):
    (tmp_path / "holidays").mkdir()
    with pytest.raises(DataError, match=r"looked for .*rgbir/bounding_box_train.*holds holidays/"):
        rgbnt100.read(tmp_path)


def test_a_missing_root_is_said_to_be_missing(tmp_path):
    with pytest.raises(DataError, match="nowhere does not exist"):
        rgbnt100.read(tmp_path / "nowhere")


def test_a_missing_split_folder_is_named(tmp_path):
    (tmp_path / "bounding_box_test").mkdir()
    with pytest.raises(DataError, match=r"has no folder query; .* holds bounding_box_test/"):
        rgbnt100.read(tmp_path)


def test_an_empty_split_is_an_error(tmp_path):
    base = write_rgbnt100(tmp_path)
    for path in (base / "query").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="no triple in the split query"):
        rgbnt100.read(base)
