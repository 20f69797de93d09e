import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from man_jax.clustering.jaccard import jaccard_distances
from man_jax.neighbours import nearest as blocks
from man_jax.neighbours.k_reciprocal import expanded_neighbours, reciprocal_neighbours
from man_jax.neighbours.nearest import find_nearest
from tests.oracles import jaccard as oracle
from tests.oracles.cases import seeds

N, D = 30, 6


def grouped(seed: int, num_samples: int = N, num_groups: int = 4):
    """Samples around a few directions, so that neighbourhoods overlap, expand and stay apart."""
    rng = np.random.default_rng(seed)
    middles = rng.normal(size=(num_groups, D))
    return 3.0 * (middles[rng.integers(0, num_groups, num_samples)] + 0.5 * rng.normal(size=(num_samples, D)))


@given(seeds, st.sampled_from([(1, 1), (2, 1), (3, 3), (5, 1), (6, 2), (9, 4), (12, 6), (N, N)]))
def test_distances_are_those_of_the_neighbourhoods_counted_one_by_one(seed, counts):
    features = grouped(seed)
    np.testing.assert_allclose(
        jaccard_distances(features, k1=counts[0], k2=counts[1]),
        oracle.jaccard_distances(features, *counts),
        atol=2e-6,
    )


def test_thirty_neighbours_are_searched_and_six_averaged_unless_told():
    features = grouped(1, num_samples=60)
    np.testing.assert_array_equal(jaccard_distances(features), jaccard_distances(features, k1=30, k2=6))


def test_neighbourhoods_expand_in_the_cases_that_are_tested():
    features = grouped(3)
    rows = features / np.linalg.norm(features, axis=1, keepdims=True)
    nearest = find_nearest(rows.astype(np.float32), 9).nearest
    assert expanded_neighbours(nearest, 9).nnz > reciprocal_neighbours(nearest).nnz


@given(seeds)
def test_distances_are_symmetric_fractions_and_a_sample_is_at_no_distance_from_itself(seed):
    distances = jaccard_distances(grouped(seed), k1=8, k2=3)
    assert distances.dtype == np.float32
    assert distances.min() >= 0
    assert distances.max() <= 1
    np.testing.assert_array_equal(distances, distances.T)
    np.testing.assert_allclose(np.diag(distances), 0, atol=1e-7)


@given(seeds)
def test_the_order_of_the_samples_changes_nothing(seed):
    features = grouped(seed)
    order = np.random.default_rng(seed).permutation(N)
    shuffled = jaccard_distances(features[order], k1=8, k2=3)
    np.testing.assert_allclose(
        shuffled, jaccard_distances(features, k1=8, k2=3)[np.ix_(order, order)], atol=2e-6
    )


def test_the_lengths_of_the_features_change_nothing():
    features = grouped(4)
    lengths = np.random.default_rng(4).uniform(0.1, 50, (N, 1))
    np.testing.assert_allclose(
        jaccard_distances(lengths * features, k1=8, k2=3), jaccard_distances(features, k1=8, k2=3), atol=2e-6
    )


def test_the_height_of_a_block_changes_nothing(monkeypatch):
    features = grouped(5)
    whole = jaccard_distances(features, k1=8, k2=3)
    monkeypatch.setattr(blocks, "BLOCK_ENTRIES", 7 * N)
    np.testing.assert_allclose(jaccard_distances(features, k1=8, k2=3), whole, atol=2e-6)


def test_groups_far_apart_share_nothing_and_samples_of_a_group_share_most():
    groups = np.repeat(np.eye(3), 10, axis=0)
    features = groups + 0.01 * np.random.default_rng(6).normal(size=groups.shape)
    distances = jaccard_distances(features, k1=8, k2=3)
    same = groups @ groups.T > 0
    np.testing.assert_array_equal(distances[~same], 1)
    assert distances[same].mean() < 0.5


@pytest.mark.parametrize("value", [1.0, 0.0], ids=["equal", "zero"])
def test_samples_that_coincide_have_finite_distances(value):
    distances = jaccard_distances(np.full((12, D), value), k1=4, k2=2)
    assert np.isfinite(distances).all()
    np.testing.assert_allclose(np.diag(distances), 0, atol=1e-7)


@pytest.mark.parametrize("k2", [1, 2])
def test_a_sample_that_coincides_with_others_is_its_own_first_neighbour(k2):
    features = np.repeat(np.eye(2), [7, 3], axis=0)
    distances = jaccard_distances(features, k1=4, k2=k2)
    np.testing.assert_allclose(distances, oracle.jaccard_distances(features, 4, k2), atol=2e-6)


@pytest.mark.parametrize(
    ("features", "counts", "words"),
    [
        (np.ones(4), {}, r"shape \(4,\); give one row a sample"),
        (np.ones((0, 4)), {}, r"shape \(0, 4\)"),
        (np.ones((4, 0)), {}, r"shape \(4, 0\)"),
        (np.array([[1.0], [np.nan], [np.inf]]), {}, "2 of 3 samples are not finite, the first is sample 1"),
        (np.ones((4, 2)), {"k1": 5, "k2": 2}, "k1 is 5, but there are 4 samples .* choose 1 <= k1 <= 4"),
        (np.ones((4, 2)), {"k1": 0, "k2": 1}, "k1 is 0"),
        (np.ones((4, 2)), {"k1": 3, "k2": 4}, "k2 is 4, but only k1 = 3 .* choose 1 <= k2 <= 3"),
        (np.ones((4, 2)), {"k1": 3, "k2": 0}, "k2 is 0"),
    ],
)
def test_what_has_no_neighbourhoods_is_refused_with_the_limit(features, counts, words):
    with pytest.raises(ValueError, match=words):
        jaccard_distances(features, **counts)
