import shutil

import pytest

from data_pipelines.reading.datasets import read
from data_pipelines.reading.records import DataError
from tests.data_pipelines.trees import TREES, write_picture, write_rgbnt100, write_triples, write_wmveid863


def passed_over(root, name: str = "wmveid863") -> list[str]:
    return [warning for warning in read(name, root).warnings if "passed over" in warning]


def test_a_folder_of_images_only_needs_no_word(tree):
    (tree / "train/0007/vis/Thumbs.db").write_bytes(b"x")
    (tree / "train/list.txt").write_text("names")
    assert passed_over(tree) == []


def test_files_that_look_like_images_are_counted_by_suffix_and_named(tree):
    for name in ("a.ppm", "b.PPM", "c.npy", "._d.gif"):
        (tree / "train/0007/vis" / name).write_bytes(b"x")
    (warning,) = passed_over(tree)
    assert warning.startswith(
        "wmveid863: 3 files that look like images are passed over for their suffix (2 .ppm, 1 .npy); read are .bmp, "
    )
    assert warning.endswith("train/0007/vis/a.ppm, train/0007/vis/b.PPM, train/0007/vis/c.npy")


def test_an_identity_with_nothing_but_such_files_is_named(tree):
    for modality in ("vis", "ni", "th"):
        folder = tree / "train/0999" / modality
        folder.mkdir(parents=True)
        (folder / "v1_n1_s001_001.heic").write_bytes(b"x")
    (warning,) = passed_over(tree)
    assert "3 files" in warning
    assert "train/0999/ni/v1_n1_s001_001.heic" in warning


def test_files_beside_the_splits_are_nobody_s_matter(tree):
    (tree / "logo.gif").write_bytes(b"x")
    (tree / "demo").mkdir()
    (tree / "demo/a.gif").write_bytes(b"x")
    assert passed_over(tree) == []


@pytest.mark.parametrize("name", ["rgbnt201", "market1501mm"])
def test_other_layouts_are_looked_through_too(tmp_path, name):
    tree = TREES[name]
    folders = {
        "rgbnt201": {"train_171": "train", "test": "gallery"},
        "market1501mm": {"train": "train", "query": "query", "gallery": "gallery"},
    }[name]
    for folder, split in folders.items():
        write_triples(tmp_path / folder, tree.names[split], tree.modalities)
    (tmp_path / next(iter(folders)) / "NI/extra.jp2").write_bytes(b"x")
    (warning,) = passed_over(tmp_path, name)
    assert "1 files" in warning
    assert "NI/extra.jp2" in warning


def test_a_set_of_nothing_but_such_files_is_refused_with_the_remedy(tmp_path):
    tree = write_wmveid863(tmp_path / "source")
    for path in list(tree.rglob("*.jpg")):
        path.rename(path.with_suffix(".pgm"))
    with pytest.raises(
        DataError, match=r"are 24 files that look like images but are not read \(24 \.pgm\): store"
    ):
        read("wmveid863", tree)


@pytest.mark.parametrize("name", ["train/0007/vis/night", "query/0100/th/a/b"])
def test_images_in_folders_below_those_that_are_read_are_counted_and_named(tree, name):
    write_picture(tree / name / "v1_n1_s001_009.jpg", (1, 2, 3))
    (warning,) = passed_over(tree)
    assert "1 images lie in folders below those that are read and are passed over; move them up" in warning
    assert warning.endswith(f": {name}/v1_n1_s001_009.jpg")


def test_images_below_the_strips_of_rgbnt100_are_counted(tmp_path):
    tree = write_rgbnt100(tmp_path / "RGBNT100", {"query/day": ["0502_c0002_001.jpg"]})
    (warning,) = passed_over(tree, "rgbnt100")
    assert "query/day/0502_c0002_001.jpg" in warning


@pytest.mark.parametrize("place", ["train", "train/0007", "train/0007/vis", "."])
@pytest.mark.parametrize("name", ["@eaDir", "__MACOSX", "lost+found", "#recycle", ".Trash-1000"])
def test_folders_that_systems_make_beside_the_data_are_no_part_of_it(tree, place, name):
    before = read("wmveid863", tree)
    for file in ("v1_n1_s001_001.jpg", "a.ppm"):
        (tree / place / name).mkdir(exist_ok=True)
        (tree / place / name / file).write_bytes(b"x")
    after = read("wmveid863", tree)
    assert (after.splits, after.warnings) == (before.splits, before.warnings)


def test_an_archive_of_windows_that_was_not_unpacked_as_one_is_told_by_its_names(tree):
    for path in list(tree.rglob("*.jpg")):
        path.rename(tree / "\\".join(path.relative_to(tree).parts))
    for folder in ("train", "query", "test"):
        shutil.rmtree(tree / folder)
    with pytest.raises(DataError, match=r"24 files have \\ in their names.*unpack it again with unzip"):
        read("wmveid863", tree)
