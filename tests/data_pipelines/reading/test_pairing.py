"""Which files make a triple, and what is said of those that do not."""

import unicodedata

import pytest

from data_pipelines.reading import datasets
from data_pipelines.reading.records import DataError
from data_pipelines.storing import builders
from tests.data_pipelines.trees import TREES, write_picture, write_triples

SUFFIXES = {
    "msvr310": ("bounding_box_train", "query3", "bounding_box_test"),
    "wmveid863": ("train", "query", "test"),
    "rgbnt201": ("train_171", "test", "test"),
    "market1501mm": ("train", "query", "gallery"),
}


def write_own(base, names=("12_c3_1", "12_c4_2"), suffixes=(".jpg", ".jpg", ".png"), tails=("", "", "")):
    for split in ("train", "query", "gallery"):
        for modality, suffix, tail in zip("RNT", suffixes, tails, strict=True):
            for name in names:
                write_picture(base / split / modality / f"{name}{tail}.png", (1, 2, 3))
                path = base / split / modality / f"{name}{tail}.png"
                path.rename(path.with_suffix(suffix))
    return base


def refusal(name, base) -> str:
    with pytest.raises(DataError) as error:
        datasets.read(name, base)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "suffixes",
    [
        (".jpg", ".jpg", ".png"),
        (".JPG", ".jpg", ".jpeg"),
        (".png", ".bmp", ".TIF"),
        (".webp", ".tiff", ".PNG"),
    ],
)
def test_suffixes_may_differ_by_modality(tmp_path, suffixes):
    dataset = datasets.read("folder", write_own(tmp_path, suffixes=suffixes))
    assert dataset.warnings == ("folder: 1 identities occur in both train and test: 12",)
    for record in dataset.splits["train"]:
        assert [image.path.suffix for image in record.images] == list(suffixes)
        assert len({image.path.stem for image in record.images}) == 1


@pytest.mark.parametrize("name", SUFFIXES)
def test_suffixes_may_differ_in_the_published_layouts_too(tmp_path, name):
    tree = TREES[name]
    for split, folder in zip(("train", "query", "gallery"), SUFFIXES[name], strict=True):
        write_triples(tmp_path / folder, tree.names[split], tree.modalities)
    before = datasets.read(name, tmp_path)
    for path in tmp_path.rglob(f"{tree.modalities[2]}/*.jpg"):
        path.rename(path.with_suffix(".png"))
    after = datasets.read(name, tmp_path)
    assert after.splits == {
        split: tuple(
            type(record)(
                (*record.images[:2], type(record.images[2])(record.images[2].path.with_suffix(".png"))),
                record.pid,
                record.camid,
                record.scene,
            )
            for record in records
        )
        for split, records in before.splits.items()
    }


def test_a_triple_of_three_suffixes_is_prepared_with_its_own_images(tmp_path):
    base = write_own(tmp_path / "mine")
    for path in base.rglob("T/*.png"):
        write_picture(path, (9, 99, 199))
    prepared = builders.prepare_dataset("folder", base, tmp_path / "out", (8, 8))
    assert (prepared.train[0][2] == (9, 99, 199)).all()


@pytest.mark.parametrize("modality", ["R", "T"])
@pytest.mark.parametrize("suffix", [".jpeg", ".JPG", ".bmp"])
def test_two_files_of_one_name_up_to_the_suffix_are_refused(tmp_path, modality, suffix):
    base = write_own(tmp_path)
    write_picture(base / f"query/{modality}/12_c3_1.png", (0, 0, 0))
    (base / f"query/{modality}/12_c3_1.png").rename(base / f"query/{modality}/12_c3_1{suffix}")
    if modality == "T":
        write_picture(base / "query/T/12_c3_1.png", (0, 0, 0))
    said = refusal("folder", base)
    assert f"{base}/query/{modality}: " in said
    assert f"12_c3_1{suffix}" in said
    assert "2 files of one name up to the suffix" in said


def test_two_whole_triples_of_one_stem_are_two_triples(tmp_path):
    base = write_own(tmp_path, suffixes=(".jpg",) * 3)
    for modality in "RNT":
        write_picture(base / "train" / modality / "12_c3_1.png", (0, 0, 0))
    names = [record.name for record in datasets.read("folder", base).splits["train"]]
    assert names == ["12_c3_1.jpg", "12_c3_1.png", "12_c4_2.jpg"]


@pytest.mark.parametrize(
    ("tails", "difference"),
    [
        (("_rgb", "_nir", "_tir"), "have the same numbers and differ in other characters"),
        (("", "_N", "_T"), "have the same numbers"),
        (("_a", "_A", "_a"), "differ in capitals or spaces only"),
        (("", " ", ""), "differ in capitals or spaces only"),
        (
            (unicodedata.normalize("NFC", "_é"), unicodedata.normalize("NFD", "_é"), "_é"),
            "accents are stored in two ways",
        ),
    ],
)
def test_when_no_triple_is_found_the_message_says_what_was_found_on_each_side(tmp_path, tails, difference):
    said = refusal("folder", write_own(tmp_path, tails=tails))
    assert f"{tmp_path}/train: no triple in the split train: R/ has 2 such as 12_c3_1{tails[0]}.jpg" in said
    assert f"N/ has 2 such as 12_c3_1{tails[1]}.jpg; T/ has 2 such as 12_c3_1{tails[2]}.png" in said
    assert f"For example, R/12_c3_1{tails[0]}.jpg and N/12_c3_1{tails[1]}.jpg" in said
    assert difference in said
    assert "image names look like" not in said


def test_an_orphan_is_named_beside_the_file_that_may_belong_to_it(tmp_path):
    base = write_own(tmp_path)
    (base / "train/N/12_c3_1.jpg").rename(base / "train/N/12_C3_1.jpg")
    warning = datasets.read("folder", base).warnings[0]
    assert "3 files of train lack a companion of the same name, up to the suffix" in warning
    assert "R/12_c3_1.jpg and N/12_C3_1.jpg differ in capitals or spaces only" in warning


def test_files_of_other_numbers_are_not_said_to_belong_together(tmp_path):
    base = write_own(tmp_path)
    (base / "train/N/12_c3_1.jpg").unlink()
    write_picture(base / "train/N/12_c3_9.jpg", (0, 0, 0))
    assert "For example" not in datasets.read("folder", base).warnings[0]


def test_files_that_are_not_read_are_counted_where_no_triple_is_found(tmp_path):
    base = write_own(tmp_path)
    for path in base.rglob("query/T/*.png"):
        path.rename(path.with_suffix(".npy"))
    assert "T/ has no image and, not read, 2 .npy" in refusal("folder", base)


def test_folders_are_named_where_no_image_lies_beside_them(tmp_path):
    """As in the layout of ImageFolder, a folder for each identity below the modality."""
    base = write_own(tmp_path)
    for path in list(base.rglob("query/*/*.*")):
        (path.parent / "0012").mkdir(exist_ok=True)
        path.rename(path.parent / "0012" / path.name)
    assert "R/ has no image and, not read, 1 folders such as 0012/" in refusal("folder", base)


# --- warnings come with the error that follows them


def test_warnings_gathered_before_an_error_are_shown_with_it(tmp_path):
    base = write_own(tmp_path)
    (base / "train/N/12_c3_1.jpg").unlink()
    for modality, suffix in zip("RNT", (".jpg", ".jpg", ".png"), strict=True):
        (base / f"query/{modality}/12_c3_1{suffix}").rename(base / f"query/{modality}/IMG_1{suffix}")
    said = refusal("folder", base)
    assert "1 of 2 names have no identity and camera" in said
    assert "query/R/IMG_1.jpg" in said
    assert "(noticed before: folder: 2 files of train lack a companion" in said


def test_the_columns_that_are_not_read_are_shown_with_the_error_of_a_row(tmp_path):
    (tmp_path / "mine.csv").write_text("split,R,pid,camid,colour\ntrain,a.jpg,x,1,red\n")
    assert "(noticed before: manifest: columns that are not read: colour)" in refusal(
        "manifest", tmp_path / "mine.csv"
    )


def test_warnings_of_the_reader_are_shown_where_no_query_can_be_answered(tmp_path):
    base = write_own(tmp_path, names=("12_c3_1", "13_c3_1"))
    (base / "train/N/12_c3_1.jpg").unlink()
    with pytest.raises(DataError, match=r"2 of 2 queries .*noticed before: folder: 2 files of train lack"):
        builders.prepare_dataset("folder", base, tmp_path / "out", (8, 8))


# --- folders that look alike


@pytest.mark.parametrize(("name", "meant"), [("r", "R"), ("N ", "N"), ("t", "T")])
def test_a_folder_that_looks_like_a_modality_is_refused(tmp_path, name, meant):
    (write_own(tmp_path) / "gallery" / name).mkdir()
    assert f"gallery/{name}: is not the folder {meant} but looks like it" in refusal("folder", tmp_path)


@pytest.mark.parametrize("name", ["Train", "TRAIN", "train "])
def test_two_split_folders_that_differ_in_capitals_only_are_refused(tmp_path, name):
    (write_own(tmp_path) / name).mkdir()
    assert f"{tmp_path}/train and {tmp_path}/{name} differ in capitals" in refusal("folder", tmp_path)


def test_folders_that_are_not_read_are_named(tmp_path):
    (write_own(tmp_path) / "query/NIR2").mkdir()
    assert "folder: folders that are not read: query/NIR2/" in datasets.read("folder", tmp_path).warnings
