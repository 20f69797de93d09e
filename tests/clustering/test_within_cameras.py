import numpy as np
import pytest

from man_jax.clustering.dbscan import dbscan
from man_jax.clustering.jaccard import jaccard_distances
from man_jax.clustering.within_cameras import cluster_within_cameras, clusters_of_nearest
from tests.oracles.cases import unit_groups

CAMERAS = np.array([4, 1, 4, 1, 7, 4, 1])


def test_clusters_of_each_camera_have_numbers_of_their_own():
    features = np.arange(7.0)[:, None]
    told = []

    def cluster(rows, place):
        told.append((rows[:, 0].tolist(), place))
        return np.array([0, 1, -1], np.int32)[: len(rows)]

    labels = cluster_within_cameras(features, CAMERAS, cluster)
    assert told == [([1, 3, 6], 0), ([0, 2, 5], 1), ([4], 2)]
    np.testing.assert_array_equal(labels, [2, 0, 3, 1, 4, -1, -1])


def test_a_camera_without_a_cluster_takes_no_number():
    def cluster(rows, place):
        return np.full(len(rows), -1 if place == 1 else 0, np.int32)

    labels = cluster_within_cameras(np.zeros((7, 1)), CAMERAS, cluster)
    np.testing.assert_array_equal(labels, [-1, 0, -1, 0, 1, -1, 0])


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2, 1.0])
def test_eps_is_the_mean_of_the_nearest_pairs_that_do_not_coincide(share):
    features = unit_groups(np.random.default_rng(0), 5, 6, 8).reshape(30, 8).astype(np.float32)
    features[1] = features[0]
    distances = jaccard_distances(features, k1=6, k2=2)
    pairs = sorted(float(distances[i, j]) for i in range(30) for j in range(i) if distances[i, j] > 0)
    nearest = pairs[: max(1, round(share * len(pairs)))]
    expected = dbscan(distances, eps=sum(nearest) / len(nearest), min_samples=2)
    labels = clusters_of_nearest(features, k1=6, k2=2, share=share, min_samples=2)
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("number", [1, 3])
def test_samples_that_coincide_are_one_cluster_if_there_are_enough(number):
    labels = clusters_of_nearest(np.ones((number, 4)), k1=30, k2=6, share=0.1, min_samples=2)
    np.testing.assert_array_equal(labels, np.full(number, 0 if number > 1 else -1))
