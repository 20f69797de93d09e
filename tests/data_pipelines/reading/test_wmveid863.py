import shutil

import pytest

from data_pipelines.reading.readers import wmveid863
from data_pipelines.reading.records import DataError
from tests.data_pipelines.trees import write_picture, write_wmveid863


def test_identity_comes_from_the_folder_and_camera_from_the_view(tmp_path):
    train = wmveid863.read(write_wmveid863(tmp_path)).splits["train"]
    assert [(record.pid, record.camid, record.scene) for record in train] == [
        (7, 1, -1),
        (7, 2, -1),
        (12, 0, -1),
    ]


def test_modalities_are_in_the_order_rgb_near_thermal(tmp_path):
    record = wmveid863.read(write_wmveid863(tmp_path)).splits["train"][0]
    assert [image.path.parent.name for image in record.images] == ["vis", "ni", "th"]


@pytest.mark.parametrize("root_name", ["", "WMVEID863", "WMVeID863", "MSVwild863_neo"])
def test_every_known_root_name_is_found(tmp_path, root_name):
    write_wmveid863(tmp_path / root_name)
    assert len(wmveid863.read(tmp_path).splits["train"]) == 3


def test_the_gallery_may_be_called_gallery(tmp_path):
    (write_wmveid863(tmp_path) / "test").rename(tmp_path / "gallery")
    assert len(wmveid863.read(tmp_path).splits["gallery"]) == 3


def test_an_orphan_in_the_middle_mixes_no_triple(tmp_path):
    names = [f"0007/v1_n1_s001_{i:03d}.jpg" for i in range(5)]
    base = write_wmveid863(tmp_path, {"train": names})
    (base / "train/0007/ni/v1_n1_s001_002.jpg").unlink()
    train = [record for record in wmveid863.read(base).splits["train"] if record.pid == 7]
    assert [{image.path.name for image in record.images} for record in train] == [
        {f"v1_n1_s001_{i:03d}.jpg"} for i in (0, 1, 3, 4)
    ]


def test_orphans_are_counted_and_named(tmp_path):
    base = write_wmveid863(tmp_path)
    write_picture(base / "train/0007/th/v1_n1_s001_999.jpg", (0, 0, 0))
    (warning,) = wmveid863.read(base).warnings
    assert "1 files of train" in warning
    assert "train/0007/th/v1_n1_s001_999.jpg" in warning


def test_a_parent_folder_named_like_a_modality_changes_no_path(tmp_path):
    base = write_wmveid863(tmp_path / "vis" / "WMVEID863")
    record = wmveid863.read(tmp_path / "vis").splits["train"][0]
    assert record.images[1].path == base / "train/0007/ni/v1_n1_s001_001.jpg"


def test_identities_are_in_numerical_order_of_their_padded_names(tmp_path):
    base = write_wmveid863(tmp_path, {"train": ["0100/v1_n1_s1_1.jpg", "0021/v1_n1_s1_1.jpg"]})
    assert [record.pid for record in wmveid863.read(base).splits["train"]] == [21, 100]


@pytest.mark.parametrize("name", ["0007/car.jpg", "0007/v9_n1_s001_001.jpg"])
def test_a_name_that_does_not_parse_is_named_beside_an_example(tmp_path, name):
    base = write_wmveid863(tmp_path, {"train": [name]})
    identity, file_name = name.split("/")
    with pytest.raises(DataError, match=rf"train/{identity}/vis/{file_name}.*v1_n1_s999_011\.jpg"):
        wmveid863.read(base)


def test_an_identity_folder_that_is_no_number_is_named(tmp_path):
    base = write_wmveid863(tmp_path, {"train": ["bus/v1_n1_s001_001.jpg"]})
    with pytest.raises(DataError, match=r"train/bus: not an identity; .* as in 0123/vis"):
        wmveid863.read(base)


def test_two_folders_of_one_identity_are_named(tmp_path):
    base = write_wmveid863(tmp_path, {"train": ["0007/v1_n1_s1_1.jpg", "7/v1_n1_s1_1.jpg"]})
    with pytest.raises(DataError, match=r"train/7 and .*train/0007 are both identity 7"):
        wmveid863.read(base)


def test_a_missing_modality_folder_is_named(tmp_path):
    base = write_wmveid863(tmp_path)
    shutil.rmtree(base / "query" / "0100" / "th")
    with pytest.raises(DataError, match=r"query/0100 has no folder th; .* holds ni/, vis/"):
        wmveid863.read(base)


def test_a_split_of_orphans_only_is_empty(tmp_path):
    base = write_wmveid863(tmp_path)
    for path in base.glob("query/*/th/*.jpg"):
        path.unlink()
    with pytest.raises(DataError, match="no triple in the split query"):
        wmveid863.read(base)


def test_identities_in_both_train_and_test_are_named(tmp_path):
    base = write_wmveid863(tmp_path, {"train": ["0101/v1_n1_s001_001.jpg"]})
    (warning,) = wmveid863.read(base).warnings
    assert "both train and test: 101" in warning
