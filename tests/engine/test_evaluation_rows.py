"""Rows of an evaluation on features that are drawn, against the parts that they are made of."""

import json
from dataclasses import replace

import numpy as np
import pytest

from man_jax.engine.evaluation import QueryGallery, rank, retrieval_distances
from man_jax.engine.evaluation_rows import Asked, evaluate_networks, evaluate_rows, with_single_modalities
from man_jax.engine.evaluation_tables import rows_record, rows_text
from man_jax.engine.trained_network import TrainedNetwork
from man_jax.frame import FeatureTable
from man_jax.retrieval.distances import query_gallery_distances
from man_jax.retrieval.query_expansion import expand_queries
from man_jax.retrieval.reranking import rerank
from man_jax.retrieval.settings import Expansion, Reranking
from man_jax.sharding import make_mesh
from tests.engine.splits import new_dataset, new_split
from tests.oracles.cases import unit_normal

Q, G, D = 6, 20, 4
PRESENT = ("R", "N", "T")
ALL = Asked(Expansion(2, 1.0), Reranking(5, 2, 0.3), draws=100, breakdown=True, seed=3)


@pytest.fixture(scope="module")
def data():
    query = new_split(np.arange(Q) % 3, camids=[0, 0, 1, 1, 2, 2])
    return new_dataset(query, query, new_split(np.arange(G) % 4, camids=np.arange(G) % 3, seed=1))


@pytest.fixture(scope="module")
def features():
    rng = np.random.default_rng(0)

    def table(num: int) -> FeatureTable:
        modal = unit_normal(rng, 3, num, D).astype(np.float32)
        fused = np.concatenate(list(modal), axis=1) / np.float32(3**0.5)
        return FeatureTable(modal, fused, modal)

    return QueryGallery(table(Q), table(G))


def rows_of(features, data, subsets, asked):
    return [row for row, _ in evaluate_rows(features, data, subsets, present=PRESENT, asked=asked)]


def test_without_options_a_row_has_the_figures_of_the_ranking_and_nothing_else(features, data):
    [row] = rows_of(features, data, [("R", "T")], Asked())
    assert row.name == "R+T"
    assert row.result == rank(retrieval_distances(features, present=[0, 2]), data)
    assert (row.intervals, row.cameras, row.matrix) == ({}, {}, None)


def test_queries_are_expanded_before_the_gallery_is_re_ranked(features, data):
    found = {
        row.name: (row.result, distances)
        for row, distances in evaluate_rows(features, data, [PRESENT], present=PRESENT, asked=ALL)
    }
    assert list(found) == ["R+N+T", "R+N+T expanded, re-ranked"]
    expanded = expand_queries(features.query.fused, features.gallery.fused, ALL.expansion)
    expected = rerank(expanded, features.gallery.fused, ALL.reranking)
    result, distances = found["R+N+T expanded, re-ranked"]
    np.testing.assert_allclose(distances, expected, atol=1e-5)
    assert result == rank(distances, data)


@pytest.mark.parametrize(
    ("asked", "name"),
    [(Asked(expansion=Expansion(3)), "R expanded"), (Asked(reranking=Reranking(4, 2)), "R re-ranked")],
)
def test_each_of_the_two_may_stand_alone(features, data, asked, name):
    assert [row.name for row in rows_of(features, data, [("R",)], asked)] == ["R", name]


def test_expansion_alone_ranks_by_the_distances_of_the_moved_queries(features, data):
    asked = Asked(expansion=Expansion(3))
    (_, _), (_, distances) = evaluate_rows(features, data, [("N",)], present=PRESENT, asked=asked)
    query, gallery = features.query.modal[1], features.gallery.modal[1]
    expected = query_gallery_distances(expand_queries(query, gallery, Expansion(3)), gallery)
    np.testing.assert_allclose(distances, expected, atol=1e-5)


def test_all_rows_draw_the_same_identities(features, data):
    twice = rows_of(features, data, [("R",), ("R",)], Asked(draws=100))
    assert twice[0].intervals == twice[1].intervals
    assert twice[0].intervals != rows_of(features, data, [("R",)], Asked(draws=100, seed=1))[0].intervals


def test_a_breakdown_has_a_row_for_each_modality_alone_once():
    assert with_single_modalities([PRESENT, ("N",)], PRESENT) == [PRESENT, ("N",), ("R",), ("T",)]


def test_another_rule_changes_the_figures_and_none_leaves_all_matches(features, data):
    matrix = rows_of(features, data, [PRESENT], Asked(breakdown=True))[0].matrix
    assert np.isnan(np.diag(matrix.mean_precision)).all()
    every = rows_of(features, data.judged_by("none"), [PRESENT], Asked(breakdown=True))[0].matrix
    assert every.num_valid.sum() > matrix.num_valid.sum()


def test_the_record_has_every_figure_and_is_json_without_nan(features, data):
    rows = {row.name: row for row in rows_of(features, data, [PRESENT], ALL)}
    record = json.loads(json.dumps(rows_record(rows, ALL), allow_nan=False))
    assert record["rerank"] == {"k1": 5, "k2": 2, "lambda": 0.3}
    assert record["query_expansion"] == {"k": 2, "alpha": 1.0}
    assert record["bootstrap"] == {"draws": 100, "seed": 3, "share": 0.95}
    for part in ("figures", "queries", "intervals", "cameras"):
        assert list(record[part]) == list(rows)
    cameras = record["cameras"]["R+N+T"]
    assert cameras["mAP"][0][0] is None
    assert cameras["by_query_camera"]["1"]["queries"] == 2
    assert rows_record(rows, Asked())["rerank"] is None


def test_the_text_has_a_table_of_figures_one_of_intervals_and_one_of_cameras_for_each_row(features, data):
    rows = {row.name: row for row in rows_of(features, data, [PRESENT], ALL)}
    text = rows_text(rows, ALL)
    assert "95 % intervals and medians, by 100 draws of the query identities:" in text
    assert text.count("queries of  ") == 2
    assert text.count("All figures in %.") == 1


def test_several_networks_have_rows_of_their_own_that_begin_with_their_names(data):
    def extract(turn, images):
        angle = turn + np.asarray(images)[:, 0, 0, 0, 0] / 255.0
        fused = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
        return np.repeat(fused[None], 3, axis=0), fused, np.repeat(fused[None], 3, axis=0)

    networks = [TrainedNetwork(extract, turn, f"step {turn}", None, None) for turn in (1, 2)]
    more = {"present": PRESENT, "batch_size": 8, "mesh": make_mesh()}
    found = evaluate_networks(iter(networks), data, [("R",), ("N",)], Asked(), **more)
    assert list(found.rows) == ["step 1: R", "step 1: N", "step 2: R", "step 2: N"]
    assert found.weights == "step 1, step 2"
    assert found.first.shape == (Q, G)
    alone = evaluate_networks(networks[:1], data, [("R",)], Asked(), **more)
    assert list(alone.rows) == ["R"]
    assert alone.rows["R"].result == replace(found.rows["step 1: R"].result)
