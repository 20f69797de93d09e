"""The nearest entries of a gallery are those of a full sort, in whatever blocks they are found."""

import numpy as np
import pytest

from man_jax.retrieval import nearest as subject
from man_jax.retrieval.nearest import nearest


def sides(num_query=7, num_gallery=30, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, 4)).astype(np.float32) for n in (num_query, num_gallery)]


@pytest.mark.parametrize("block", [1, 60, 10**6])
@pytest.mark.parametrize("k", [1, 5, 30])
def test_the_nearest_are_those_of_a_sort_of_all_distances(monkeypatch, block, k):
    monkeypatch.setattr(subject, "BLOCK_ENTRIES", block)
    query, gallery = sides()
    all_distances = ((query[:, None].astype(float) - gallery[None]) ** 2).sum(-1)
    order = all_distances.argsort(axis=1)[:, :k]
    indices, distances = nearest(query, gallery, k)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_allclose(distances, np.take_along_axis(all_distances, order, 1), rtol=1e-4, atol=1e-5)


def test_equal_distances_keep_the_order_of_the_gallery():
    query, gallery = np.zeros((1, 4), np.float32), np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0, 1]]
    gallery[3] = 0
    assert nearest(query, gallery, 4)[0].tolist() == [[3, 0, 1, 2]]


def test_a_gallery_of_fewer_is_ranked_whole():
    query, gallery = sides(num_gallery=3)
    assert nearest(query, gallery, 10)[0].shape == (7, 3)


def test_no_match_cannot_be_asked_for():
    with pytest.raises(ValueError, match="k must be at least 1"):
        nearest(*sides(), 0)
