"""A data set that is judged by another removal rule than its own."""

from pathlib import Path

import pytest

from data_pipelines.checking.checks import check_queries, judged_by
from data_pipelines.reading import datasets
from data_pipelines.reading.records import DataError, Dataset, ImageRef, Record
from data_pipelines.storing import builders
from data_pipelines.storing.images import ImageSettings
from tests.data_pipelines.reading.test_own_data import ROWS, write_csv


def record(name: str, pid: int, camid: int, scene: int, written: str = "") -> Record:
    return Record((ImageRef(Path(name)),), pid, camid, scene, written=("", "", written), where=name)


def dataset(*gallery: Record) -> Dataset:
    """One query of pid 1, camera 0 and scene 5."""
    splits = {"train": (), "query": (record("q.jpg", 1, 0, 5),), "gallery": gallery}
    return Dataset("tiny", Path("data"), splits, "camid", modalities=("R",))


def test_matches_are_those_that_the_other_rule_leaves_in_place():
    in_camera = dataset(record("a.jpg", 1, 0, 6))
    with pytest.raises(DataError, match="the rule 'same pid and same camid' removes every"):
        check_queries(in_camera)
    assert check_queries(judged_by(in_camera, "scene")) == ()
    in_scene = dataset(record("a.jpg", 1, 1, 5))
    assert check_queries(in_scene) == ()
    with pytest.raises(DataError, match="the rule 'same pid and same scene' removes every"):
        check_queries(judged_by(in_scene, "scene"))


def test_a_rule_that_removes_nothing_leaves_even_the_query_s_own_camera_and_scene():
    assert check_queries(judged_by(dataset(record("a.jpg", 1, 0, 5)), "none")) == ()


def test_a_rule_of_scenes_is_refused_where_scenes_are_unknown():
    with pytest.raises(
        DataError,
        match=r"tiny in data cannot be judged by .* 1 of 2 .* no scene \(a.jpg\).* own is camid",
    ):
        judged_by(dataset(record("a.jpg", 1, 1, -1)), "scene")


def test_a_scene_that_is_written_in_two_ways_is_refused_once_scenes_are_compared():
    twice = dataset(record("a.jpg", 1, 1, 7, "7"), record("b.jpg", 1, 1, 7, "07"))
    assert judged_by(twice, "camid") is twice
    with pytest.raises(DataError, match=r"scene 7 is '7' in a.jpg and '07' in b.jpg"):
        judged_by(twice, "scene")


def test_a_prepared_set_is_opened_under_the_other_rule_and_stored_under_its_own(tmp_path):
    rows = [row | {"scene": str(40 + i)} for i, row in enumerate(ROWS)]
    manifest = datasets.read("manifest", write_csv(tmp_path / "mine.csv", rows))
    settings = ImageSettings((8, 8))
    for rule, groups in (("none", [-1, -1]), ("camid", [2, 3]), (None, [43, 44])):
        data = builders.prepare_read(manifest, tmp_path / "out", settings, removal=rule)
        assert data.removal == data.query.removal == data.gallery.removal == (rule or "scene")
        assert data.gallery.groups.tolist() == groups


def test_a_set_whose_own_rule_leaves_no_match_is_opened_under_one_that_does(tmp_path):
    rows = [row | {"camid": "0"} for row in ROWS]
    manifest = datasets.read("manifest", write_csv(tmp_path / "mine.csv", rows))
    with pytest.raises(DataError, match="have no match"):
        builders.prepare_read(manifest, tmp_path / "out", ImageSettings((8, 8)))
    assert builders.prepare_read(manifest, tmp_path / "out", ImageSettings((8, 8)), removal="none").gallery
