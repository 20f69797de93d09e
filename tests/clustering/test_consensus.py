import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from man_jax.clustering.consensus import consensus_distances, neighbour_votes
from man_jax.clustering.jaccard import jaccard_distances
from man_jax.neighbours import nearest as blocks
from tests.oracles import jaccard as oracle
from tests.oracles.cases import seeds

N, D = 24, 5


def tables(seed: int, num_modalities: int = 3):
    """Modalities that each see some groups only, and their fusion."""
    rng = np.random.default_rng(seed)
    middles = rng.normal(size=(num_modalities, 4, D))
    modal = middles[:, rng.integers(0, 4, N)] + 0.8 * rng.normal(size=(num_modalities, N, D))
    modal /= np.linalg.norm(modal, axis=2, keepdims=True)
    return modal, np.concatenate(list(modal), axis=1)


@given(seeds, st.sampled_from([1, 2, 3]), st.sampled_from([1, 4, 9, N]))
def test_a_vote_is_a_modality_in_which_two_samples_are_near_each_other(seed, num_modalities, k):
    modal, _ = tables(seed, num_modalities)
    np.testing.assert_array_equal(neighbour_votes(list(modal), k=k).toarray(), oracle.votes(modal, k))


@given(seeds, st.sampled_from([(4, 2), (6, 3), (9, 1)]), st.sampled_from([0.05, 0.3, 2.0]))
def test_distances_are_those_of_neighbourhoods_that_the_modalities_voted_for(seed, counts, vote):
    modal, fused = tables(seed)
    expected = oracle.jaccard_distances(fused, *counts, bonus=vote * oracle.votes(modal, 2 * counts[0]))
    found = consensus_distances(list(modal), fused, k1=counts[0], k2=counts[1], vote=vote)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    np.testing.assert_array_equal(found, found.T)


def test_votes_change_the_neighbours_in_the_cases_that_are_tested():
    modal, fused = tables(3)
    kind = {"k1": 6, "k2": 3}
    assert (
        consensus_distances(list(modal), fused, vote=0.3, **kind) != jaccard_distances(fused, **kind)
    ).any()


def test_a_vote_worth_nothing_leaves_the_neighbours_of_the_fusion():
    modal, fused = tables(4)
    np.testing.assert_array_equal(
        consensus_distances(list(modal), fused, k1=6, k2=3, vote=0.0), jaccard_distances(fused, k1=6, k2=3)
    )


def test_all_samples_vote_where_there_are_fewer_than_twice_k1():
    modal, fused = tables(5)
    np.testing.assert_array_equal(
        consensus_distances(list(modal), fused, k1=N, k2=3, vote=0.1), jaccard_distances(fused, k1=N, k2=3)
    )


def test_the_height_of_a_block_changes_nothing(monkeypatch):
    modal, fused = tables(6)
    whole = consensus_distances(list(modal), fused, k1=6, k2=3, vote=0.2)
    monkeypatch.setattr(blocks, "BLOCK_ENTRIES", 7 * N)
    np.testing.assert_allclose(
        consensus_distances(list(modal), fused, k1=6, k2=3, vote=0.2), whole, atol=2e-6
    )


def test_features_that_are_not_finite_are_refused():
    modal, fused = tables(7)
    modal[1, 2, 0] = np.nan
    with pytest.raises(ValueError, match="1 of 24 samples are not finite, the first is sample 2"):
        consensus_distances(list(modal), fused, k1=4, k2=2)
