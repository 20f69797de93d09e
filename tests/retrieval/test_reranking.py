import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from man_jax.neighbours import nearest as blocks
from man_jax.retrieval.distances import query_gallery_distances
from man_jax.retrieval.reranking import rerank
from man_jax.retrieval.settings import Reranking
from tests.oracles import reranking as oracle
from tests.oracles.cases import seeds

Q, G, D = 7, 24, 5
SMALL = Reranking(k1=8, k2=3, weight=0.3)


def grouped(seed: int, num_queries: int = Q, num_gallery: int = G):
    """Queries and a gallery around the same few directions, so that neighbourhoods overlap and expand."""
    rng = np.random.default_rng(seed)
    middles = rng.normal(size=(4, D))
    rows = middles[rng.integers(0, 4, num_queries + num_gallery)]
    rows = rows + 0.5 * rng.normal(size=rows.shape)
    return rows[:num_queries], rows[num_queries:]


@given(
    seeds, st.sampled_from([(1, 1, 0.3), (5, 2, 0.0), (6, 3, 0.3), (9, 4, 0.5), (20, 6, 0.3), (30, 30, 0.3)])
)
def test_distances_are_those_of_the_neighbourhoods_counted_one_by_one(seed, settings):
    query, gallery = grouped(seed)
    found = rerank(query, gallery, Reranking(*settings))
    np.testing.assert_allclose(found, oracle.reranked(query, gallery, *settings), atol=2e-6)


def test_the_published_settings_are_used_unless_told():
    query, gallery = grouped(1)
    np.testing.assert_array_equal(rerank(query, gallery), rerank(query, gallery, Reranking(20, 6, 0.3)))


def test_the_original_distance_alone_keeps_every_order():
    query, gallery = grouped(2)
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (query, gallery)]
    found = rerank(query, gallery, Reranking(8, 3, 1.0))
    original = query_gallery_distances(*unit)
    np.testing.assert_array_equal(np.argsort(found, axis=1), np.argsort(original, axis=1))


@given(seeds)
def test_the_order_of_the_gallery_changes_nothing_but_the_order(seed):
    query, gallery = grouped(seed)
    order = np.random.default_rng(seed).permutation(G)
    shuffled = rerank(query, gallery[order], SMALL)
    np.testing.assert_allclose(shuffled, rerank(query, gallery, SMALL)[:, order], atol=2e-6)


def test_the_height_of_a_block_and_the_lengths_of_the_features_change_nothing(monkeypatch):
    query, gallery = grouped(5)
    whole = rerank(query, gallery, SMALL)
    monkeypatch.setattr(blocks, "BLOCK_ENTRIES", 3 * (Q + G))
    np.testing.assert_allclose(rerank(7.0 * query, 0.1 * gallery, SMALL), whole, atol=2e-6)


def test_entries_that_share_neighbours_come_before_nearer_ones_that_share_none():
    """A chain leads from the query to its like; a stranger stands nearer, among many strangers."""
    angles = np.array([10.0, 20.0, 30.0, 40.0, -35.0, *np.linspace(-40.0, -36.0, 6)])
    gallery = np.stack([np.cos(np.deg2rad(angles)), np.sin(np.deg2rad(angles))], axis=1)
    query = np.array([[1.0, 0.0]])
    assert query_gallery_distances(query, gallery)[0, 4] < query_gallery_distances(query, gallery)[0, 3]
    found = rerank(query, gallery, Reranking(k1=4, k2=2, weight=0.3))
    assert found[0, 3] < found[0, 4]


@pytest.mark.parametrize("value", [1.0, 0.0])
def test_samples_that_all_coincide_have_no_original_distance_and_finite_ones(value):
    query, gallery = np.full((2, D), value), np.full((6, D), value)
    np.testing.assert_allclose(rerank(query, gallery, Reranking(3, 2, 1.0)), 0, atol=1e-6)
    found = rerank(query, gallery, Reranking(3, 2, 0.3))
    assert found.dtype == np.float32
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ((31, 6, 0.3), "k1 is 31, but queries and gallery together are 31; choose 1 <= k1 <= 30"),
        ((0, 6, 0.3), "k1 is 0"),
        ((5, 6, 0.3), "k2 is 6, and k1 is 5; choose 1 <= k2 <= k1"),
        ((5, 0, 0.3), "k2 is 0"),
        ((5, 2, 1.5), "lambda is 1.5, but it is a share"),
        ((5, 2, float("nan")), "lambda is nan"),
    ],
)
def test_settings_out_of_range_are_refused_with_the_limit(settings, words):
    with pytest.raises(ValueError, match=words):
        rerank(*grouped(0), Reranking(*settings))


def test_features_of_different_widths_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 2\) and \(30, 3\)"):
        rerank(np.ones((1, 2)), np.ones((30, 3)))


def test_a_feature_that_is_not_finite_is_refused():
    query, gallery = grouped(0)
    gallery[3, 1] = np.nan
    with pytest.raises(ValueError, match=f"1 of {Q + G} samples are not finite"):
        rerank(query, gallery, SMALL)
