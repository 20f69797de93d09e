"""What a search writes: text, CSV and a picture."""

import csv
import io

import numpy as np
import pytest

from man_jax.engine import search_results
from man_jax.engine.search_results import (
    draw_matches,
    first_right,
    matches_csv,
    matches_text,
    search_all,
    triple_names,
)
from man_jax.retrieval.gallery import Gallery, chosen_rows
from tests.retrieval.feature_files import feature_file, unit_rows, write_triples


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("photos")


@pytest.fixture(scope="module")
def gallery(folder):
    return Gallery(write_triples(folder, split="gallery", pids=[1, 1, 2, 2, 3, 3]))


@pytest.fixture(scope="module")
def query(folder):
    file = write_triples(folder, split="query", pids=[1, 2, 3], seed=5)
    return file._replace(pids=np.array([1, 3, -1]), camids=np.array([0, 1, -1]))


def test_the_matches_of_each_query_are_printed_with_what_is_known_of_them(gallery, query):
    lines = matches_text(gallery, query, search_all(gallery, query, k=2)).splitlines()
    assert lines[0] == "1_c0_0.png (pid 1, camid 0)"
    assert lines[1].split() == ["rank", "distance", "pid", "camid", "name"]
    assert lines[2].split()[0] == "1"
    assert [line.split()[2] for line in lines[2:4]] == ["right", "right"]
    assert [line.split()[2] for line in lines[7:9]] == ["wrong", "wrong"]
    assert lines[10] == "3_c2_2.png"  # neither its pid nor its camera is known
    assert "right" not in "".join(lines[11:14])
    assert lines[-1] == "the first match is right for 1 of 2 queries whose pid is in the gallery"


def test_columns_that_say_nothing_are_left_out():
    gallery = Gallery(feature_file(unit_rows(3, 5)))
    text = matches_text(gallery, gallery.file, search_all(gallery, gallery.file, k=1))
    assert text.splitlines()[:2] == ["row 0", "  rank  distance  name"]
    assert "the first match" not in text


def test_a_query_without_a_match_says_so(gallery):
    alone = Gallery(chosen_rows(gallery.file, [0]))
    assert matches_text(alone, alone.file, search_all(alone, alone.file, k=3)).splitlines()[1] == "  no match"


def test_only_the_first_queries_are_printed_and_the_others_counted(gallery, query, monkeypatch):
    monkeypatch.setattr(search_results, "MOST_PRINTED", 1)
    text = matches_text(gallery, query, search_all(gallery, query, k=1))
    assert "2 more queries are not printed" in text
    assert "2_c1_1" not in text.splitlines()[0]


def test_queries_are_searched_in_parts_as_all_at_once(gallery, query, monkeypatch):
    whole = search_all(gallery, query, k=3)
    monkeypatch.setattr(search_results, "QUERIES_AT_ONCE", 2)
    parts = search_all(gallery, query, k=3)
    assert parts.rows.tolist() == whole.rows.tolist()
    np.testing.assert_allclose(parts.distances, whole.distances, atol=1e-6)


def test_a_strange_pid_counts_for_no_first_match(gallery, query):
    stranger = query._replace(pids=np.array([77, -1, -1]))
    assert first_right(gallery, stranger, search_all(gallery, stranger, k=1)) is None


def test_the_csv_has_a_row_for_each_match_and_empty_cells_for_what_is_unknown(gallery, query):
    found = search_all(gallery, query, k=2)
    rows = list(csv.DictReader(io.StringIO(matches_csv(gallery, query, found))))
    assert len(rows) == 6
    assert [row["right"] for row in rows] == ["1", "1", "0", "0", "", ""]
    assert [row["rank"] for row in rows] == ["1", "2"] * 3
    assert rows[4]["query_pid"] == rows[4]["query_camid"] == ""
    first = gallery.file.paths[int(rows[0]["row"])]
    assert (rows[0]["R"], rows[0]["N"]) == first
    assert float(rows[0]["distance"]) == pytest.approx(float(found.distances[0, 0]), abs=1e-6)


def test_triples_are_named_without_the_folder_that_all_share():
    paths = [("/data/a/1.png", ""), ("", "/data/b/c/2\n.png"), ("", ""), ("/data/a/3.png", "")]
    named = triple_names(feature_file(unit_rows(4, 5), paths=paths))
    assert named == ["a/1.png", r"b/c/2\n.png", "row 2", "a/3.png"]
    alone = feature_file(unit_rows(1, 5), paths=[("/data/a/1.png", "")])
    mixed = feature_file(unit_rows(2, 5), paths=[("/data/a/1.png", ""), ("a/1.png", "")])
    assert triple_names(alone) == ["1.png"]
    assert triple_names(mixed) == ["/data/a/1.png", "a/1.png"]


def test_the_picture_shows_each_query_with_its_matches_and_counts_the_images_that_are_gone(
    gallery, query, tmp_path, monkeypatch
):
    drawn = []
    monkeypatch.setattr(search_results, "ranking_figure", lambda lists, *_, **__: drawn.extend(lists))
    monkeypatch.setattr(search_results, "MOST_DRAWN", 2)
    lost = query._replace(paths=[("/nowhere.png", query.paths[0][1]), *query.paths[1:]])
    result = draw_matches(gallery, lost, search_all(gallery, lost, k=3), tmp_path / "m.png", title="t")
    assert (result.num_queries, result.num_absent) == (2, 1)
    first = drawn[0]
    assert first.matches.shape[:2] == (3, 2)
    assert list(first.correct[:2]) == [True, True]
    assert first.match_lines[0][0] == "pid 1"
    assert (first.matches[0][0, 0, 0, 2], first.matches[0][1, 0, 0, 2]) == (ord("R"), ord("N"))


def test_the_picture_is_drawn(gallery, query, tmp_path):
    draw_matches(gallery, query, search_all(gallery, query, k=9), tmp_path / "m.png", title="mine in theirs")
    assert (tmp_path / "m.png").stat().st_size > 10_000
