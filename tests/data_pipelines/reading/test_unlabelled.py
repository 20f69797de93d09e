"""Test sets without identities, in folders and in tables: read, prepared, never matched."""

import numpy as np
import pytest

from data_pipelines.contact_sheet.content import describe
from data_pipelines.reading import datasets
from data_pipelines.reading.records import UNLABELLED, DataError
from data_pipelines.reading.roles import require_scores
from data_pipelines.storing import builders
from tests.data_pipelines.reading.test_own_data import (
    MODALITIES,
    ROWS,
    changed,
    write_csv,
    write_folders,
    write_parquet,
)
from tests.data_pipelines.trees import write_triples

FRAMES = ("frame_0100000.jpg", "frame_0100001.jpg")


def write_test(base, *, query, gallery, folders=("query", "gallery")):
    write_triples(base / folders[0], query, MODALITIES)
    write_triples(base / folders[1], gallery, MODALITIES)
    return base


def found_in(dataset, split):
    return [(record.name, record.pid, record.camid) for record in dataset.splits[split]]


@pytest.mark.parametrize(
    "names",
    [
        FRAMES,
        ("IMG 1.jpg",),
        ("12-c3.jpg", "13-c3.jpg"),  # a slip made in every name is told, and refused where it is scored
        ("12_3.jpg",),
    ],
)
def test_a_test_set_in_which_no_name_has_an_identity_is_unlabelled_and_says_so(tmp_path, names):
    dataset = datasets.read("folder", write_test(tmp_path, query=names, gallery=names))
    assert {record.pid for split in ("query", "gallery") for record in dataset.splits[split]} == {UNLABELLED}
    warned = [text for text in dataset.warnings if f"none of the {len(names)} names of" in text]
    assert len(warned) == 2
    assert f"query/R/{names[0]}" in warned[0]
    with pytest.raises(DataError, match="cannot be scored"):
        require_scores(dataset)


def test_unlabelled_queries_may_look_for_known_identities(tmp_path):
    base = write_test(tmp_path, query=FRAMES, gallery=("7_c1.jpg", "8_c2.jpg"))
    dataset = datasets.read("folder", base)
    assert [pid for _, pid, _ in found_in(dataset, "query")] == [UNLABELLED, UNLABELLED]
    assert found_in(dataset, "gallery") == [("7_c1.jpg", 7, 1), ("8_c2.jpg", 8, 2)]


@pytest.mark.parametrize("split", ["query", "gallery"])
@pytest.mark.parametrize("slip", ["100c1.jpg", "100_c.jpg", "frame_7.jpg", "-1_c1.jpg", "100_C1.jpg"])
def test_a_slip_in_one_name_among_others_is_an_error_and_no_missing_label(tmp_path, split, slip):
    write_triples(write_folders(tmp_path) / split, [slip], MODALITIES)
    with pytest.raises(
        DataError, match=rf"{split}: 1 of \d names have .*{split}/R/{slip}\. Rename.*unlabelled_"
    ):
        datasets.read("folder", tmp_path)


def test_a_folder_called_unlabelled_takes_names_that_look_like_identities(tmp_path):
    base = write_test(
        tmp_path,
        query=("00012_c2.jpg", "x.jpg"),
        gallery=("00013_c4.jpg",),
        folders=("unlabelled_query", "unlabelled_gallery"),
    )
    dataset = datasets.read("folder", base)
    assert found_in(dataset, "query") == [("00012_c2.jpg", UNLABELLED, 2), ("x.jpg", UNLABELLED, 0)]
    assert found_in(dataset, "gallery") == [("00013_c4.jpg", UNLABELLED, 4)]
    assert not any("none of the" in text for text in dataset.warnings)


@pytest.mark.parametrize("split", ["query", "gallery"])
def test_a_split_and_its_unlabelled_twin_at_once_are_refused(tmp_path, split):
    (write_folders(tmp_path) / f"unlabelled_{split}").mkdir()
    with pytest.raises(DataError, match=f"both {split}/ and unlabelled_{split}/"):
        datasets.read("folder", tmp_path)


@pytest.mark.parametrize(("write", "suffix"), [(write_csv, ".csv"), (write_parquet, ".parquet")])
def test_an_empty_pid_in_a_table_is_a_triple_without_identity_in_any_split(tmp_path, write, suffix):
    rows = [row | {"pid": ""} for row in ROWS]
    dataset = datasets.read("manifest", write(tmp_path / f"mine{suffix}", rows))
    assert {record.pid for found in dataset.splits.values() for record in found} == {UNLABELLED}
    (warning,) = datasets.check_queries(dataset)
    assert "1 of 1 query and 2 of 2 gallery triples have no identity" in warning


def test_one_pid_that_was_forgotten_in_a_table_is_counted_and_not_scored(tmp_path):
    dataset = datasets.read("manifest", write_csv(tmp_path / "mine.csv", changed(4, pid="")))
    with pytest.raises(DataError, match=r"1 of 2 gallery triples have no identity \(gallery: g\.jpg\)"):
        require_scores(dataset)


def test_under_the_rule_of_scenes_an_unlabelled_row_needs_no_scene(tmp_path):
    rows = [row | {"scene": "3"} for row in ROWS]
    rows[2] |= {"pid": "", "scene": ""}
    dataset = datasets.read("manifest", write_csv(tmp_path / "mine.csv", rows))
    assert [(record.pid, record.scene) for record in dataset.splits["query"]] == [(UNLABELLED, -1)]
    with pytest.raises(DataError, match="row 5: scene is ''"):
        datasets.read("manifest", write_csv(tmp_path / "other.csv", [*rows[:3], rows[3] | {"scene": ""}]))


def test_an_unlabelled_test_set_is_prepared_and_looked_at(tmp_path):
    base = write_test(tmp_path / "mine", query=FRAMES, gallery=FRAMES)
    prepared = builders.prepare_dataset("folder", base, tmp_path / "out", (8, 8))
    assert prepared.query.pids.tolist() == prepared.gallery.pids.tolist() == [UNLABELLED, UNLABELLED]
    assert prepared.query.read(np.arange(2)).shape == (2, 3, 8, 8, 3)
    pages = describe(prepared, triples=2, identities=2, seed=0)
    assert [page.name for page in pages] == ["query", "gallery"]
    assert [page.figures["without identity"] for page in pages] == ["2", "2"]
