"""Clusters of cameras that become classes: relations, inference, and what is joined."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from man_jax.clustering.camera_relations import (
    fuse_near_classes,
    infer_matches,
    merge_across_cameras,
    near_pairs,
)
from tests.oracles import lrimv as oracle
from tests.oracles.cases import seeds, unit_groups

N, C = 24, 3


def drawn(seed: int):
    """Six groups of four samples in three cameras, clusters of each camera that mix a few, and outliers."""
    rng = np.random.default_rng(seed)
    features = unit_groups(rng, 6, 4, 5).reshape(N, 5)
    cameras = rng.integers(0, C, N)
    groups = np.where(rng.random(N) < 0.85, np.repeat(np.arange(6), 4), rng.integers(0, 6, N))
    clusters = np.unique(np.stack([cameras, groups], axis=1), axis=0, return_inverse=True)[1].reshape(-1)
    return features, np.where(rng.random(N) < 0.9, clusters, -1), cameras


@given(seeds, st.sampled_from([0.0, 0.02, 0.115, 0.3]))
def test_classes_are_those_of_the_loops(seed, threshold):
    features, clusters, cameras = drawn(seed)
    labels = merge_across_cameras(features, clusters, cameras, threshold=threshold)
    assert labels.dtype == np.int32
    assert labels.tolist() == oracle.merged(features, clusters, cameras, threshold)


def test_several_relations_are_cut_down_by_the_matches_that_are_certain():
    related = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1]], bool)
    np.testing.assert_array_equal(infer_matches(related), [[0, 1], [1, 0], [2, 2]])


def test_a_cluster_whose_relations_stay_several_has_no_match():
    np.testing.assert_array_equal(infer_matches(np.array([[1, 1, 0], [0, 0, 1]], bool)), [[1, 2]])


def test_a_match_that_several_clusters_claim_is_none():
    assert len(infer_matches(np.array([[1, 0], [1, 0], [0, 0]], bool))) == 0


def test_without_a_relation_there_is_no_match():
    assert infer_matches(np.zeros((2, 3), bool)).shape == (0, 2)


def test_distances_are_scaled_by_the_two_cameras_own_range():
    rows, columns = np.array([[0.0], [1.0]]), np.array([[2.0], [5.0]])  # squared: 4, 25, 1, 16
    np.testing.assert_array_equal(near_pairs(rows, columns, threshold=0.2), [[True, False], [True, False]])
    np.testing.assert_array_equal(near_pairs(rows, columns, threshold=1.0), np.ones((2, 2), bool))


def test_clusters_of_one_camera_and_outliers_without_a_match_have_no_label():
    features = np.array([[0, 0], [0, 0.1], [9, 0], [9, 0.1], [0, 9], [5, 5]], float)
    clusters, cameras = np.array([0, 0, 1, 1, 2, -1]), np.array([0, 0, 0, 0, 1, 1])
    features[4] = [0, 0.05]
    labels = merge_across_cameras(features, clusters, cameras, threshold=0.1)
    np.testing.assert_array_equal(labels, [0, 0, -1, -1, 0, -1])


@pytest.mark.parametrize("cameras", [np.zeros(N, int), np.arange(N) % 2])
def test_samples_that_coincide_are_labelled_all_the_same(cameras):
    labels = merge_across_cameras(np.ones((N, 3)), cameras, cameras, threshold=0.1)
    np.testing.assert_array_equal(labels, np.full(N, -1 if cameras.max() == 0 else 0))


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (0.0, [0, 1, -1, 2, 0, 3]),
        (0.02, [0, 1, -1, 2, 0, 2]),
        (0.3, [0, 1, -1, 1, 0, 1]),
        (1.0, [0, 0, -1, 0, 0, 0]),
    ],
)
def test_classes_with_near_centres_are_one_and_are_numbered_by_their_first_samples(threshold, expected):
    features = np.array([0.0, 10, 5, 6, 2, 7])[
        :, None
    ]  # centres 1, 10, 6, 7: scaled 0, 1, 25/81, 36/81 of 1's
    labels = fuse_near_classes(features, np.array([3, 0, -1, 1, 3, 2]), threshold=threshold)
    np.testing.assert_array_equal(labels, expected)
