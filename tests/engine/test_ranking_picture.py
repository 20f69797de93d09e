"""Which queries are shown, and what is said of them, from hand-written distances."""

from dataclasses import replace

import numpy as np
import pytest

from man_jax.engine import ranking_picture
from man_jax.engine.ranking_picture import NUM_MATCHES, NUM_QUERIES, choose_queries, draw_rankings
from man_jax.reporting.ranking_lists import RankingList
from man_jax.retrieval.ranking import average_precisions
from tests.engine.splits import new_dataset, new_split

NAN = np.nan


def test_best_and_worst_are_those_of_the_highest_and_lowest_ap():
    chosen = choose_queries(np.array([0.5, 0.9, 0.1, 0.4, 1.0, 0.2, 0.6, 0.7]), seed=0)
    assert [each for each in chosen if each[0] != "drawn"] == [
        ("best", 1, 4),
        ("best", 2, 1),
        ("worst", 2, 5),
        ("worst", 1, 2),
    ]
    drawn = [index for kind, _, index in chosen if kind == "drawn"]
    assert len(drawn) == 2
    assert drawn == sorted(drawn)
    assert set(drawn) <= {0, 3, 6, 7}


def test_of_equal_ap_the_first_query_comes_first():
    chosen = choose_queries(np.ones(20), seed=0)
    assert [index for kind, _, index in chosen if kind == "best"] == [0, 2]
    assert [index for kind, _, index in chosen if kind == "worst"] == [3, 1]


def test_the_drawn_queries_are_those_of_the_seed():
    precisions = np.linspace(0, 1, 100)
    draws = [[index for _, _, index in choose_queries(precisions, seed=seed)] for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize("num_queries", range(1, 8))
def test_no_query_is_shown_twice_and_few_are_all_shown(num_queries):
    indices = [index for _, _, index in choose_queries(np.linspace(0, 1, num_queries), seed=0)]
    assert len(set(indices)) == len(indices) == min(num_queries, NUM_QUERIES)


def test_a_query_without_ap_is_neither_best_nor_worst():
    chosen = choose_queries(np.array([NAN, 0.3, NAN, 0.2, NAN]), seed=0)
    assert {index for kind, _, index in chosen if kind != "drawn"} == {1, 3}
    assert {index for kind, _, index in chosen if kind == "drawn"} == {0, 2, 4}
    assert {kind for kind, _, _ in choose_queries(np.array([NAN, NAN]), seed=0)} == {"drawn"}


@pytest.fixture
def told(monkeypatch) -> dict:
    """What the figure is drawn of."""
    found: dict = {}
    monkeypatch.setattr(
        ranking_picture, "ranking_figure", lambda lists, _, **others: found.update(lists=lists, **others)
    )
    return found


def random_data(num_gallery: int = 14):
    rng = np.random.default_rng(0)
    query = new_split(rng.integers(0, 4, 20), camids=rng.integers(0, 3, 20), seed=1)
    gallery = new_split(rng.integers(0, 4, num_gallery), camids=rng.integers(0, 3, num_gallery), seed=2)
    return new_dataset(query, query, gallery), rng.random((20, num_gallery))


def number_of(each: RankingList, query) -> int:
    """Of the query whose images are shown."""
    (number,) = [i for i in range(len(query)) if np.array_equal(query[i], each.query)]
    return number


@pytest.mark.parametrize("num_gallery", [14, 4])
def test_each_query_has_its_nearest_triples_that_are_not_removed(told, tmp_path, num_gallery):
    data, distances = random_data(num_gallery)
    query, gallery = data.query, data.gallery
    draw_rankings(distances, data, tmp_path / "r.png", seed=0)
    assert len(told["lists"]) == NUM_QUERIES < len(query)
    for each in told["lists"]:
        number = number_of(each, query)
        assert each.query_lines == [f"pid {query.pids[number]}", f"cam {query.camids[number]}"]
        nearest = [
            j
            for j in np.argsort(distances[number])
            if (gallery.pids[j], gallery.camids[j]) != (query.pids[number], query.camids[number])
        ][:NUM_MATCHES]
        assert len(each.matches) == len(nearest)
        for rank, j in enumerate(nearest):
            np.testing.assert_array_equal(each.matches[rank], gallery[j])
            assert each.correct[rank] == (gallery.pids[j] == query.pids[number])
            cosine = f"{distances[number, j] / 2:.3f}"
            assert each.match_lines[rank] == [f"pid {gallery.pids[j]}", f"cam {gallery.camids[j]}", cosine]


def test_the_heading_has_kind_ap_and_name(told, tmp_path):
    data, distances = random_data()
    precisions = average_precisions(
        distances,
        query_pids=data.query.pids,
        gallery_pids=data.gallery.pids,
        query_groups=data.query.camids,
        gallery_groups=data.gallery.camids,
    )
    draw_rankings(distances, data, tmp_path / "r.png", seed=0, title="a run")
    scored = int(np.isfinite(precisions).sum())
    kinds = [f"best 1 of {scored}", f"best 2 of {scored}", "drawn by seed", "drawn by seed"]
    kinds += [f"worst 2 of {scored}", f"worst 1 of {scored}"]
    for each, kind in zip(told["lists"], kinds, strict=True):
        number = number_of(each, data.query)
        assert each.heading == f"{kind}: AP {100 * precisions[number]:.1f} %, triple {number}"
    assert told["title"].startswith(
        f"a run; mAP {100 * np.nanmean(precisions):.1f} %, {scored} scored queries; "
    )


def test_where_the_rule_is_that_of_scenes_scenes_are_told(told, tmp_path):
    data, distances = random_data()
    splits = [
        replace(split, removal="scene", scenes=np.arange(len(split)) + 50)
        for split in (data.query, data.gallery)
    ]
    scenes = replace(data, removal="scene", query=splits[0], gallery=splits[1])
    draw_rankings(distances, scenes, tmp_path / "r.png", seed=0)
    first = told["lists"][0]
    assert first.query_lines[-1] == f"scene {50 + number_of(first, data.query)}"
    assert all(len(lines) == 4 and lines[2].startswith("scene ") for lines in first.match_lines)
    assert "the query's identity and scene are left out" in told["title"]


def test_where_the_rule_removes_nothing_that_is_told(told, tmp_path):
    data, distances = random_data()
    draw_rankings(distances, data.judged_by("none"), tmp_path / "r.png", seed=0)
    assert "of which none is left out" in told["title"]


def test_numbers_of_many_digits_and_long_names_are_shortened_in_the_middle(told, tmp_path):
    data, distances = random_data()
    query = replace(
        data.query, pids=data.query.pids + 9 * 10**18, names=[f"{'n' * 80}{i:02d}" for i in range(20)]
    )
    draw_rankings(distances, replace(data, query=query), tmp_path / "r.png", seed=0)
    number = number_of(told["lists"][0], query)
    assert told["lists"][0].query_lines[0] == f"pid 9000…000{query.pids[number] % 10}"
    assert told["lists"][0].heading.endswith(f"nn{number:02d}")


def test_a_picture_of_real_files_is_written(tmp_path):
    data, distances = random_data()
    draw_rankings(distances, data, tmp_path / "r.png", seed=0, title="a run")
    assert (tmp_path / "r.png").stat().st_size > 1000
