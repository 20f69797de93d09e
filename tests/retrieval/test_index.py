"""The exact search against plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from man_jax.retrieval import index
from man_jax.retrieval.index import NONE, Matches, nearest_rows, recall
from tests.retrieval.feature_files import unit_rows

AXES = np.eye(4, dtype=np.float32)


def nearest_by_loops(query, gallery, k, left_out):
    """Sort each gallery by distance; Python's sort is stable."""
    found = []
    for place, q in enumerate(query):
        distances = {g: 1 - float(np.dot(q.astype(np.float64), row)) for g, row in enumerate(gallery)}
        kept = [g for g in distances if g not in left_out[place]]
        found.append(sorted(kept, key=lambda g: distances[g])[:k])
    return found


@given(st.integers(0, 2**16), st.integers(1, 9), st.integers(1, 40), st.integers(1, 12), st.booleans())
def test_it_finds_what_plain_loops_find(seed, num_queries, num_gallery, k, few_blocks):
    rng = np.random.default_rng(seed)
    query, gallery = unit_rows(num_queries, 8, seed=seed), unit_rows(num_gallery, 8, seed=seed + 1)
    left_out = [np.flatnonzero(rng.random(num_gallery) < 0.2) for _ in query]
    with pytest.MonkeyPatch.context() as patch:
        if not few_blocks:
            patch.setattr(index, "BLOCK_QUERIES", 2)
            patch.setattr(index, "BLOCK_ROWS", 5)
        found = nearest_rows(query, gallery, k=k, left_out=left_out)
    for row, expected in zip(found.rows, nearest_by_loops(query, gallery, k, left_out), strict=True):
        assert row.tolist() == expected + [NONE] * (k - len(expected))


def test_rows_at_equal_distance_keep_the_order_of_the_gallery_across_blocks(monkeypatch):
    monkeypatch.setattr(index, "BLOCK_ROWS", 3)
    gallery = AXES[[1, 0, 0, 0, 2, 0, 0]]
    assert nearest_rows(AXES[:1], gallery, k=4).rows.tolist() == [[1, 2, 3, 5]]


def test_distances_are_cosine_distances_and_never_negative():
    gallery = np.stack([AXES[0], -AXES[0], AXES[1]])
    found = nearest_rows(AXES[:1], gallery, k=3)
    assert found.distances.tolist() == [[0, 1, 2]]
    rows = unit_rows(50, 33)
    assert nearest_rows(rows, rows, k=1).distances.min() >= 0


def test_a_short_gallery_leaves_places_empty():
    found = nearest_rows(AXES[:1], AXES[1:2], k=3)
    assert found.rows.tolist() == [[0, NONE, NONE]]
    assert found.distances.tolist() == [[1, np.inf, np.inf]]


def test_a_query_of_which_all_rows_are_left_out_has_no_match():
    assert nearest_rows(AXES[:1], AXES, k=2, left_out=[np.arange(4)]).rows.tolist() == [[NONE, NONE]]


def test_memory_holds_a_block_and_not_all_distances(monkeypatch):
    monkeypatch.setattr(index, "BLOCK_QUERIES", 3)
    monkeypatch.setattr(index, "BLOCK_ROWS", 5)
    sizes, original = [], index.cosine_distances

    def watched(query, gallery):
        distances = original(query, gallery)
        sizes.append(distances.shape)
        return distances

    monkeypatch.setattr(index, "cosine_distances", watched)
    nearest_rows(unit_rows(7, 4), unit_rows(11, 4), k=2)
    assert len(sizes) == 9
    assert max(sizes) <= (3, 5)


def test_recall_is_the_share_of_the_exact_rows_that_are_found():
    exact = Matches(np.array([[1, 2], [3, NONE]]), np.zeros((2, 2), np.float32))
    found = Matches(np.array([[2, 9], [3, 4]]), np.zeros((2, 2), np.float32))
    assert recall(found, exact) == pytest.approx(2 / 3)
    assert recall(exact, exact) == 1


def test_features_of_another_width_and_no_match_at_all_are_refused():
    with pytest.raises(ValueError, match=r"got \(1, 4\) and \(3, 3\)"):
        nearest_rows(AXES[:1], np.eye(3, dtype=np.float32), k=1)
    with pytest.raises(ValueError, match="k must be 1 or more, got 0"):
        nearest_rows(AXES[:1], AXES, k=0)
