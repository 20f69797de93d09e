import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_pipelines.reading import datasets, readers
from data_pipelines.reading.records import DataError, Dataset, ImageRef, Record, Removal
from data_pipelines.storing import builders
from tests.data_pipelines.reading.test_own_data import write_folders
from tests.data_pipelines.trees import TREES, write_rgbnt100, write_triples, write_wmveid863


def _dataset(
    queries: list[tuple[int, int, int]], gallery: list[tuple[int, int, int]], removal: Removal
) -> Dataset:
    def records(rows: list[tuple[int, int, int]]) -> tuple[Record, ...]:
        image = ImageRef(Path("a.jpg"))
        return tuple(Record((image, image, image), pid, camid, scene) for pid, camid, scene in rows)

    splits = {"train": records([(0, 0, 0)]), "query": records(queries), "gallery": records(gallery)}
    return Dataset("tiny", Path(), splits, removal)


@pytest.mark.parametrize(("name", "write"), [("rgbnt100", write_rgbnt100), ("wmveid863", write_wmveid863)])
def test_a_data_set_is_read_by_its_name(tmp_path, name, write):
    write(tmp_path)
    assert datasets.read(name, str(tmp_path)).name == name


def test_a_new_file_of_readers_is_a_new_set():
    files = {path.stem for path in Path(readers.__path__[0]).glob("*.py")} - {"__init__"}
    assert set(datasets.READERS) == set(datasets.FACTS) == files


def _write_market(base: Path) -> Path:
    tree = TREES["market1501mm"]
    for split, names in tree.names.items():
        write_triples(base / split, names, tree.modalities)
    return base


@pytest.mark.parametrize(
    ("write", "named", "right"),
    [
        (write_rgbnt100, "rgbnt201", "rgbnt100"),
        (write_wmveid863, "rgbnt100", "wmveid863"),
        (_write_market, "rgbnt201", "market1501mm"),
    ],
)
def test_a_wrong_set_named_is_answered_with_the_right_one(tmp_path, write, named, right):
    write(tmp_path)
    with pytest.raises(DataError, match=rf"The folder does read as .*{right}.*: is that the set\?"):
        datasets.read(named, tmp_path)


def test_sets_of_one_layout_are_told_apart_by_their_folder(tmp_path):
    write_wmveid863(tmp_path / "WMVeID863")
    with pytest.raises(DataError, match="WMVeID863 is what the folder of wmveid863 is called"):
        datasets.read("msvr310", tmp_path / "WMVeID863")


def test_an_unknown_name_is_answered_with_a_suggestion(tmp_path):
    with pytest.raises(DataError, match="did you mean rgbnt100"):
        datasets.read("RGBNT-100", tmp_path)


def test_answerable_queries_need_no_warning():
    assert datasets.check_queries(_dataset([(1, 0, -1)], [(1, 0, -1), (1, 1, -1)], "camid")) == ()


def test_queries_that_all_lose_their_matches_are_an_error_naming_the_rule():
    dataset = _dataset([(1, 0, 5), (2, 0, 6)], [(1, 0, 7), (2, 0, 8)], "camid")
    with pytest.raises(DataError, match=r"2 of 2 queries.*'same pid and same camid' removes every"):
        datasets.check_queries(dataset)


def test_the_scene_rule_compares_scenes():
    assert datasets.check_queries(_dataset([(1, 0, 5)], [(1, 0, 7)], "scene")) == ()


def test_some_queries_without_a_match_are_a_warning_with_the_count():
    dataset = _dataset([(1, 0, -1), (2, 0, -1), (3, 0, -1)], [(1, 1, -1), (2, 0, -1)], "camid")
    (warning,) = datasets.check_queries(dataset)
    assert "2 of 3 queries" in warning
    assert "for 1 it lacks the identity (pid 3" in warning


def test_the_order_does_not_follow_the_hash_seed(tmp_path):
    write_wmveid863(tmp_path)
    program = (
        "import sys; from data_pipelines.reading import datasets;"
        "d = datasets.read('wmveid863', sys.argv[1]);"
        "print([(r.pid, r.name) for s in d.splits.values() for r in s], d.warnings)"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)],
            env=os.environ | {"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


# --- paths that count from the current folder


@pytest.mark.parametrize("name", ["folder", "wmveid863", "manifest"])
@pytest.mark.parametrize("root", ["data/mine", "data/mine.csv", "."])
def test_a_relative_root_that_cannot_be_read_is_told_in_full(tmp_path, monkeypatch, name, root):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as error:
        datasets.read(name, root)
    assert str((tmp_path / root).absolute()) in str(error.value)
    assert f"({root} counts from the current folder, {tmp_path})" in str(error.value)


def test_an_absolute_root_is_not_explained(tmp_path):
    with pytest.raises(DataError) as error:
        datasets.read("folder", tmp_path)
    assert "current folder" not in str(error.value)


def test_a_root_that_was_left_empty_is_not_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(write_folders(tmp_path))
    with pytest.raises(DataError, match="no folder or table of folder is named"):
        datasets.read("folder", "")


def test_a_relative_root_is_the_same_preparation_as_the_absolute_one(tree, monkeypatch):
    first = builders.prepare(datasets.read("wmveid863", tree), tree.parent / "out", image_size=(8, 8))
    monkeypatch.chdir(tree.parent)
    again = builders.prepare(datasets.read("wmveid863", tree.name), tree.parent / "out", image_size=(8, 8))
    assert first == again


def test_a_relative_folder_of_preparations_is_told_in_full(tree, monkeypatch):
    monkeypatch.chdir(tree.parent)
    (tree.parent / "out").write_text("in the way")
    with pytest.raises(DataError, match=f"{tree.parent}/out: cannot be written"):
        builders.prepare_dataset("wmveid863", tree, "out", (8, 8))


def test_a_folder_whose_name_begins_with_a_tilde_is_that_folder(tmp_path, monkeypatch):
    # ./~nobody-here, as the commands advise; they have put the home folder in its place where it was meant
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=rf"{tmp_path}/~nobody-here does not exist"):
        datasets.read("folder", "~nobody-here")
