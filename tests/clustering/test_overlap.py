import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from man_jax.clustering.overlap import keep_overlapping
from tests.oracles import overlap as oracle
from tests.oracles.cases import seeds


@given(seeds, st.sampled_from([0.0, 0.25, 0.4, 0.5, 0.9]), st.integers(1, 60))
def test_a_sample_is_kept_if_its_clusters_overlap_enough(seed, share, number):
    rng = np.random.default_rng(seed)
    labels, reference = rng.integers(-1, 5, (2, number))
    kept = keep_overlapping(labels, reference, share=share)
    np.testing.assert_array_equal(kept, oracle.keep_overlapping(labels, reference, share))
    assert kept.dtype == np.int32


def test_two_large_shares_are_both_kept_and_a_share_that_is_just_reached_is_not():
    labels = np.array([0] * 11 + [1] * 5)
    reference = np.array([0] * 5 + [1] * 5 + [2] + [0, 0, 1, 2, 3])
    np.testing.assert_array_equal(keep_overlapping(labels, reference, share=0.4), [0] * 10 + [-1] + [-1] * 5)


def test_outliers_of_either_space_are_not_kept_and_do_not_count():
    labels, reference = np.array([0, 0, 0, 0, -1]), np.array([2, -1, -1, -1, 2])
    np.testing.assert_array_equal(keep_overlapping(labels, reference, share=0.9), [0, -1, -1, -1, -1])


def test_equal_clusterings_keep_every_sample_whatever_their_numbers():
    labels = np.array([0, 1, 2, 0, 1, 2])
    np.testing.assert_array_equal(keep_overlapping(labels, np.array([5, 0, 3, 5, 0, 3]), share=0.9), labels)


def test_without_any_cluster_nothing_is_kept():
    np.testing.assert_array_equal(keep_overlapping(np.array([-1, 0]), np.array([0, -1])), [-1, -1])


def test_references_of_other_samples_are_refused():
    with pytest.raises(ValueError, match=r"labels are \(3,\) and the reference \(2,\); give both"):
        keep_overlapping(np.zeros(3, int), np.zeros(2, int))
