import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import squareform

from man_jax.clustering.linkage import average_linkage, cut_at, cut_into, drop_small, estimate_num_clusters
from tests.oracles import linkage as oracle
from tests.oracles.cases import seeds

N = 14


def drawn(seed: int, num_samples: int = N):
    """Distances that are all different, so that there is one tree only."""
    rng = np.random.default_rng(seed)
    return squareform(rng.uniform(0.1, 1.0, num_samples * (num_samples - 1) // 2)).astype(np.float32)


def line(*places):
    points = np.array(places, float)
    return np.abs(points[:, None] - points[None, :])


@given(seeds, st.integers(1, N))
def test_clusters_are_those_of_merging_the_nearest_two_again_and_again(seed, num_clusters):
    labels = cut_into(average_linkage(drawn(seed)), num_clusters)
    np.testing.assert_array_equal(labels, oracle.cut_into(drawn(seed), num_clusters))
    assert labels.dtype == np.int32


@given(seeds, st.floats(0.0, 1.1))
def test_a_cut_keeps_the_merges_that_are_not_higher(seed, height):
    np.testing.assert_array_equal(
        cut_at(average_linkage(drawn(seed)), height), oracle.cut_at(drawn(seed), height)
    )


@given(seeds)
def test_the_tree_tells_each_merge_s_height_lowest_first(seed):
    heights = [height for height, _ in oracle.merges(drawn(seed))[1:]]
    np.testing.assert_allclose(average_linkage(drawn(seed))[:, 2], heights, rtol=1e-12)


def test_a_merge_at_the_very_distance_of_the_cut_is_kept():
    np.testing.assert_array_equal(cut_at(average_linkage(line(0, 1, 5)), 1.0), [0, 0, 1])


def test_there_are_as_many_clusters_as_told_where_all_distances_are_equal():
    tree = average_linkage(1.0 - np.eye(9))
    for num_clusters in range(1, 10):
        assert len(np.unique(cut_into(tree, num_clusters))) == num_clusters


@given(seeds)
def test_the_order_of_the_samples_changes_no_group(seed):
    distances, order = drawn(seed), np.random.default_rng(seed).permutation(N)
    labels = cut_into(average_linkage(distances), 5)
    shuffled = np.empty_like(labels)
    shuffled[order] = cut_into(average_linkage(distances[np.ix_(order, order)]), 5)
    np.testing.assert_array_equal(labels[:, None] == labels[None, :], shuffled[:, None] == shuffled[None, :])


def test_the_distances_stay_as_they_are():
    distances = drawn(0)
    distances.flags.writeable = False
    average_linkage(distances)


def test_a_single_sample_is_a_cluster():
    tree = average_linkage(np.zeros((1, 1)))
    np.testing.assert_array_equal(cut_into(tree, 1), [0])
    np.testing.assert_array_equal(cut_at(tree, 0.5), [0])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(1, 4))
def test_small_clusters_are_dropped_and_the_others_numbered_in_their_order(labels, least):
    np.testing.assert_array_equal(drop_small(np.array(labels), least=least), oracle.large(labels, least))


def test_an_outlier_stays_one():
    np.testing.assert_array_equal(drop_small(np.array([-1, 3, 3, -1, 0]), least=2), [-1, 0, 0, -1, -1])


@given(seeds, st.floats(0.2, 0.9), st.integers(1, 4))
def test_k_is_estimated_as_the_clusters_of_enough_samples_at_the_cut(seed, height, least):
    wanted = max(1, len(set(oracle.large(oracle.cut_at(drawn(seed), height), least)) - {-1}))
    assert estimate_num_clusters(average_linkage(drawn(seed)), distance=height, least=least) == wanted


@pytest.mark.parametrize(
    ("distances", "words"),
    [
        (np.zeros((2, 3)), r"shape \(2, 3\)"),
        (np.zeros(4), r"shape \(4,\)"),
        (np.array([[0, np.nan], [np.nan, 0]]), "samples 0 and 1 is nan"),
        (np.array([[0, np.inf], [np.inf, 0]]), "samples 0 and 1 is inf"),
        (np.array([[0, -1], [-1, 0]]), "samples 0 and 1 is -1"),
        (np.array([[0, 0.2], [0.9, 0]]), r"d\(0, 1\) is 0.2 and d\(1, 0\) is 0.9; give symmetric"),
    ],
)
def test_what_are_no_distances_is_refused(distances, words):
    with pytest.raises(ValueError, match=words):
        average_linkage(distances)


@pytest.mark.parametrize("num_clusters", [0, 4])
def test_a_number_of_clusters_that_cannot_be_is_refused_with_the_limit(num_clusters):
    with pytest.raises(ValueError, match=f"num_clusters is {num_clusters}, .* choose 1 <= num_clusters <= 3"):
        cut_into(average_linkage(line(0, 1, 5)), num_clusters)
