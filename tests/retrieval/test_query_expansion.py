import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from man_jax.neighbours import nearest as blocks
from man_jax.retrieval.query_expansion import expand_queries
from man_jax.retrieval.settings import Expansion
from tests.oracles import query_expansion as oracle
from tests.oracles.cases import seeds

Q, G, D = 5, 12, 4


def features(seed: int):
    rng = np.random.default_rng(seed)
    return 3.0 * rng.normal(size=(Q, D)), 0.2 * rng.normal(size=(G, D))


@given(seeds, st.sampled_from([1, 2, 5, G]), st.sampled_from([0.0, 1.0, 3.0, 0.5]))
def test_queries_move_as_the_plain_loops_move_them(seed, k, alpha):
    query, gallery = features(seed)
    found = expand_queries(query, gallery, Expansion(k, alpha))
    np.testing.assert_allclose(found, oracle.expanded(query, gallery, k, alpha), atol=2e-5)


def test_the_average_is_taken_unless_a_power_is_given():
    query, gallery = features(1)
    np.testing.assert_array_equal(
        expand_queries(query, gallery, Expansion(3)), expand_queries(query, gallery, Expansion(3, 0.0))
    )


def test_a_high_power_leaves_a_query_that_nothing_resembles_almost_where_it_is():
    query, gallery = np.array([[1.0, 0.0]]), np.array([[1.0, 2.0], [1.0, -3.0]])
    found = expand_queries(query, gallery, Expansion(2, 50.0))
    np.testing.assert_allclose(found, query, atol=1e-6)


def test_of_entries_at_equal_distance_the_first_are_added():
    query, gallery = (
        np.array([[1.0, 0.0, 0.0]]),
        np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]),
    )
    found = expand_queries(query, gallery, Expansion(1))
    np.testing.assert_allclose(found, [[0.5**0.5, 0.5**0.5, 0.0]], atol=1e-6)


def test_the_height_of_a_block_changes_nothing(monkeypatch):
    query, gallery = features(2)
    whole = expand_queries(query, gallery, Expansion(4, 2.0))
    monkeypatch.setattr(blocks, "BLOCK_ENTRIES", 2 * G)
    np.testing.assert_allclose(expand_queries(query, gallery, Expansion(4, 2.0)), whole, atol=1e-6)


def test_the_arrays_that_were_given_stay_as_they_are():
    query, gallery = (rows.astype(np.float32) for rows in features(3))
    before = query.copy(), gallery.copy()
    expand_queries(query, gallery, Expansion(4))
    np.testing.assert_array_equal(query, before[0])
    np.testing.assert_array_equal(gallery, before[1])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ((0,), "k is 0, but the gallery has 12 entries; choose 1 <= k <= 12"),
        ((13,), "k is 13"),
        ((3, -1.0), "alpha is -1"),
        ((3, float("inf")), "alpha is inf"),
        ((3, float("nan")), "alpha is nan"),
    ],
)
def test_settings_out_of_range_are_refused_with_the_limit(settings, words):
    with pytest.raises(ValueError, match=words):
        expand_queries(*features(0), Expansion(*settings))


def test_features_of_different_widths_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 2\) and \(3, 3\)"):
        expand_queries(np.ones((1, 2)), np.ones((3, 3)), Expansion(1))
