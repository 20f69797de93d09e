"""The search by sketches against the exact one."""

import sys

import numpy as np
import pytest

from man_jax.retrieval import sketches
from man_jax.retrieval.errors import FeatureFileError
from man_jax.retrieval.index import NONE, nearest_rows, recall
from man_jax.retrieval.sketches import SketchIndex
from tests.retrieval.feature_files import unit_rows

WIDTH = 203  # no multiple of 8
GALLERY = unit_rows(3000, WIDTH, clusters=100)
QUERY = unit_rows(30, WIDTH, seed=1, clusters=100)


@pytest.fixture(scope="module")
def index() -> SketchIndex:
    return SketchIndex(GALLERY)


def test_nearly_all_of_the_nearest_rows_are_found(index):
    exact = nearest_rows(QUERY, GALLERY, k=10)
    assert recall(index.search(QUERY, GALLERY, k=10), exact) > 0.99


def test_few_candidates_lose_rows_so_that_recall_says_something(index, monkeypatch):
    monkeypatch.setattr(sketches, "CANDIDATES", 1)
    exact = nearest_rows(QUERY, GALLERY, k=10)
    assert recall(index.search(QUERY, GALLERY, k=10), exact) < 0.9


def test_distances_and_order_are_those_of_the_features(index):
    found = index.search(QUERY, GALLERY, k=10)
    expected = 1 - np.einsum("qd,qkd->qk", QUERY, GALLERY[found.rows])
    np.testing.assert_allclose(found.distances, expected, atol=1e-6)
    assert (np.diff(found.distances, axis=1) >= 0).all()


def test_rows_that_are_left_out_take_no_place_of_others(index):
    left_out = list(nearest_rows(QUERY, GALLERY, k=400).rows[:, :390])
    found = index.search(QUERY, GALLERY, k=10, left_out=left_out)
    assert not any(np.isin(rows, out).any() for rows, out in zip(found.rows, left_out, strict=True))
    assert (found.rows != NONE).all()


def test_all_queries_are_searched_in_blocks_as_each_one_alone(index, monkeypatch):
    whole = index.search(QUERY, GALLERY, k=3)
    monkeypatch.setattr(sketches, "BLOCK_QUERIES", 7)
    assert index.search(QUERY, GALLERY, k=3).rows.tolist() == whole.rows.tolist()


def test_a_gallery_of_fewer_rows_than_matches_leaves_places_empty():
    gallery = GALLERY[:2]
    assert SketchIndex(gallery).search(QUERY[:1], gallery, k=4).rows[0, 2:].tolist() == [NONE, NONE]


def test_features_that_are_all_positive_are_told_apart_too():
    gallery, query = np.abs(GALLERY), np.abs(QUERY)
    exact = nearest_rows(query, gallery, k=10)
    assert recall(SketchIndex(gallery).search(query, gallery, k=10), exact) > 0.95


def test_without_faiss_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(FeatureFileError, match=r"needs faiss; pip install 'man_jax\[index\]'"):
        SketchIndex(GALLERY)
