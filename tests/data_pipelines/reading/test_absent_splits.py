"""Sets of test triples only, or of training triples only, in every layout: read, prepared, opened again."""

import shutil

import numpy as np
import pytest

from data_pipelines.checking.examination import count_warnings
from data_pipelines.contact_sheet.content import describe
from data_pipelines.loading.storage import store
from data_pipelines.prepare import report_and_prepare
from data_pipelines.reading import datasets
from data_pipelines.reading.records import SPLITS, DataError
from data_pipelines.storing import builders
from tests.data_pipelines.reading.test_own_data import ROWS, write_csv, write_folders
from tests.data_pipelines.reading.test_readers import LAYOUTS, name_of
from tests.data_pipelines.reading.test_readers import write as write_layout
from tests.data_pipelines.trees import write_rgbnt100, write_wmveid863

RGBNT100_FOLDERS = ("bounding_box_train", "query", "bounding_box_test")


def write_tree(base, tree, folders):
    """A whole set in one of the layouts, with the folders of train, query and gallery."""
    if tree == "rgbnt100":
        return write_rgbnt100(base)
    if tree == "folder":
        return write_folders(base)
    return write_layout(base, tree, folders)


EVERY = [
    *((tree, folders) for tree, folders, _ in LAYOUTS),
    ("rgbnt100", RGBNT100_FOLDERS),
    ("folder", ("train", "query", "gallery")),
]
every_layout = pytest.mark.parametrize(("tree", "folders"), EVERY)


@every_layout
def test_a_set_without_its_training_folder_has_the_same_test_records(tmp_path, tree, folders):
    base, name = write_tree(tmp_path, tree, folders), name_of(tree)
    whole = datasets.read(name, base)
    shutil.rmtree(base / folders[0])
    test_only = datasets.read(name, base)
    assert test_only.splits == dict(whole.splits) | {"train": ()}
    assert any("no training triple" in text for text in test_only.warnings)
    assert not any("train has 0" in text for text in count_warnings(test_only, datasets.FACTS[name]))


@every_layout
def test_a_set_of_its_training_folder_alone_has_the_same_training_records(tmp_path, tree, folders):
    base, name = write_tree(tmp_path, tree, folders), name_of(tree)
    whole = datasets.read(name, base)
    for folder in set(folders[1:]):
        shutil.rmtree(base / folder)
    train_only = datasets.read(name, base)
    assert train_only.splits == {"train": whole.splits["train"], "query": (), "gallery": ()}
    assert any("no query and no gallery" in text for text in train_only.warnings)


@pytest.mark.parametrize(("tree", "folders"), [each for each in EVERY if each[1][1] != each[1][2]])
@pytest.mark.parametrize("place", [1, 2])
def test_a_query_or_a_gallery_alone_is_refused_by_the_folder_s_name(tmp_path, tree, folders, place):
    base = write_tree(tmp_path, tree, folders)
    shutil.rmtree(base / folders[place])
    with pytest.raises(DataError, match=r"has no folder .*; .* holds "):
        datasets.read(name_of(tree), base)


def test_a_test_only_set_is_found_below_its_parent(tmp_path):
    shutil.rmtree(write_wmveid863(tmp_path / "WMVeID863") / "train")
    assert datasets.read("wmveid863", tmp_path).root == tmp_path / "WMVeID863"


@pytest.mark.parametrize("splits", [("query", "gallery"), ("train",)])
def test_a_table_may_lack_splits(tmp_path, splits):
    rows = [row for row in ROWS if row["split"] in splits]
    dataset = datasets.read("manifest", write_csv(tmp_path / "mine.csv", rows))
    assert {split for split in SPLITS if dataset.splits[split]} == set(splits)
    assert len(dataset.warnings) == 1


@pytest.mark.parametrize("lacking", ["query", "gallery"])
def test_a_table_of_a_query_without_a_gallery_is_refused(tmp_path, lacking):
    rows = [row for row in ROWS if row["split"] != lacking]
    with pytest.raises(DataError, match=rf"no triple of {lacking} in .*mine\.csv; query and gallery"):
        datasets.read("manifest", write_csv(tmp_path / "mine.csv", rows))


@pytest.mark.parametrize(("gone", "sizes"), [(["train"], [0, 2, 3]), (["query", "test"], [3, 0, 0])])
def test_what_is_there_is_prepared_and_what_is_not_is_an_empty_split(tree, gone, sizes):
    for folder in gone:
        shutil.rmtree(tree / folder)
    prepared = builders.prepare_dataset(
        "wmveid863", tree, tree.parent / "out", (16, 12), modalities=("R", "T")
    )
    splits = [prepared.train, prepared.query, prepared.gallery]
    assert [len(split) for split in splits] == sizes
    for split in splits:
        assert store(split, "auto").read(np.arange(len(split))).shape == (len(split), 2, 16, 12, 3)
    pages = describe(prepared, triples=1, identities=1, seed=0)
    assert [page.name for page in pages] == [name for name, size in zip(SPLITS, sizes, strict=True) if size]


def test_training_triples_that_come_later_are_prepared_too(tree):
    (tree / "train").rename(tree.parent / "kept")
    out = tree.parent / "out"
    assert len(builders.prepare_dataset("wmveid863", tree, out, (16, 12)).train) == 0
    (tree.parent / "kept").rename(tree / "train")
    assert len(builders.prepare_dataset("wmveid863", tree, out, (16, 12)).train) == 3


def test_the_command_prepares_a_test_only_set_and_says_what_it_is_not_for(tree, capsys):
    shutil.rmtree(tree / "train")
    report_and_prepare("wmveid863", str(tree), tree.parent / "out", (16, 12), (0, 65535))
    said = capsys.readouterr().out
    assert "no training triple" in said
    assert "which holds query/, test/" in said
    assert "prepared in " in said
