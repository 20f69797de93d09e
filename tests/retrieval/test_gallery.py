"""Which gallery triples may be matches, which are right, and which files can be compared."""

import numpy as np
import pytest

from man_jax.retrieval.errors import FeatureFileError
from man_jax.retrieval.gallery import (
    Gallery,
    check_comparable,
    check_same_network,
    chosen_rows,
    spread,
    with_unit_rows,
)
from man_jax.retrieval.sketches import SketchIndex
from tests.retrieval.feature_files import feature_file, unit_rows

PATHS = [(f"/data/R/{name}.png", f"/data/N/{name}.png") for name in "abcd"]
GALLERY = feature_file(unit_rows(4, 6), paths=PATHS, pids=[1, 1, 2, -1], camids=[0, 1, 0, 0])


def left_out(rule, query):
    return [rows.tolist() for rows in Gallery(GALLERY, leave_out=rule).left_out(query)]


@pytest.mark.parametrize(
    ("rule", "expected"), [("itself", [[1], []]), ("camera", [[1], [0]]), ("nothing", [[], []])]
)
def test_each_rule_leaves_out_what_it_says(rule, expected):
    query = feature_file(unit_rows(2, 6), paths=[PATHS[1], ("/x", "/y")], pids=[1, 1], camids=[1, 0])
    assert left_out(rule, query) == expected


def test_an_unknown_pid_leaves_nothing_out_by_camera():
    query = feature_file(unit_rows(1, 6), paths=[("/x", "/y")], pids=[-1], camids=[0])
    assert left_out("camera", query) == [[]]


def test_triples_without_files_are_not_taken_for_the_same():
    gallery = Gallery(feature_file(unit_rows(3, 6)))
    assert [rows.tolist() for rows in gallery.left_out(feature_file(unit_rows(1, 6)))] == [[]]


def test_a_relative_path_and_a_whole_one_are_the_same_file(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    gallery = Gallery(feature_file(unit_rows(1, 6), paths=[(str(tmp_path / "r.png"), "n.png")]))
    query = feature_file(unit_rows(1, 6), paths=[("r.png", str(tmp_path / "n.png"))])
    assert gallery.left_out(query)[0].tolist() == [0]


def test_a_query_that_lies_in_the_gallery_does_not_find_itself():
    found = Gallery(GALLERY).search(GALLERY, k=3)
    assert not (found.rows == np.arange(4)[:, None]).any()
    assert (Gallery(GALLERY, leave_out="nothing").search(GALLERY, k=1).rows[:, 0] == np.arange(4)).all()


def test_a_match_is_judged_only_where_both_pids_are_known():
    gallery = Gallery(GALLERY)
    assert gallery.judge(1, np.arange(4)) == [True, True, False, None]
    assert gallery.judge(-1, np.arange(4)) == [None] * 4


def test_an_index_tells_its_recall_on_some_of_the_queries():
    file = feature_file(unit_rows(400, 64, clusters=20))
    gallery = Gallery(file, index=SketchIndex(file.features))
    recall, number = gallery.measure_recall(file, k=5)
    assert (number, recall > 0.95) == (100, True)


def test_some_queries_are_spread_over_all():
    assert spread(3, 100) == [0, 1, 2]
    assert spread(1000, 4) == [0, 250, 500, 750]


def test_chosen_rows_keep_their_paths_and_numbers():
    chosen = chosen_rows(GALLERY, [2, 0])
    assert (chosen.paths, chosen.pids.tolist()) == ([PATHS[2], PATHS[0]], [2, 1])
    np.testing.assert_array_equal(chosen.features, GALLERY.features[[2, 0]])


def test_features_of_another_length_become_unit_rows():
    file = with_unit_rows(feature_file([[3, 4], [0, 2]]), "mine.npz")
    np.testing.assert_allclose(file.features, [[0.6, 0.8], [0, 1]], rtol=1e-6)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (
            [[1, 0], [0, 0]],
            "mine.npz: 1 of 2 features cannot be compared, the first is row 1, which has only zeros",
        ),
        ([[np.nan, 0], [np.inf, 1]], "2 of 2 .* row 0, which has values that are not finite"),
        (np.empty((0, 2)), "mine.npz: has no triple"),
    ],
)
def test_features_that_have_no_direction_are_refused(features, message):
    with pytest.raises(FeatureFileError, match=message):
        with_unit_rows(feature_file(features), "mine.npz")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            feature_file(unit_rows(1, 6), modalities="RT"),
            "q.npz has features of the modalities RT, g.npz of RN",
        ),
        (feature_file(unit_rows(1, 5)), "q.npz has features of 5 numbers, g.npz of 6"),
    ],
)
def test_files_that_cannot_be_compared_are_refused(query, message):
    with pytest.raises(FeatureFileError, match=message):
        check_comparable(query, GALLERY, ("q.npz", "g.npz"))


def test_another_network_is_refused_and_another_place_of_the_run_is_not():
    about = {"run": "/old/demo", "weights": "step 3", "digest": "ab"}
    check_same_network(about, about | {"run": "/new/demo"}, ("q", "g"))
    check_same_network(about, {}, ("q", "g"))
    with pytest.raises(
        FeatureFileError, match=r"q and g are not of the same network.*digest ab, the other of.*digest cd"
    ):
        check_same_network(about, about | {"digest": "cd"}, ("q", "g"))
    with pytest.raises(FeatureFileError, match=r"image_size \[32, 64\], the other of image_size \[64, 64\]"):
        check_same_network({"image_size": [32, 64]}, {"image_size": [64, 64]}, ("q", "g"))
