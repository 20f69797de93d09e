import numpy as np

from man_jax.clustering.dbscan import dbscan
from man_jax.clustering.density import density_clusters
from man_jax.clustering.jaccard import jaccard_distances
from tests.oracles.cases import unit_normal

SEARCH = {"k1": 4, "k2": 2, "eps": 0.5, "min_samples": 3}


def groups(sizes: list[int]) -> np.ndarray:
    """Directions far from each other, as many samples near each as the sizes say."""
    rng = np.random.default_rng(0)
    rows = np.repeat(np.eye(8)[: len(sizes)], sizes, axis=0)
    return (rows + 0.02 * rng.normal(size=rows.shape)).astype(np.float32)


def test_the_labels_are_those_of_dbscan_on_the_jaccard_distance():
    features = unit_normal(np.random.default_rng(1), 30, 5).astype(np.float32)
    expected = dbscan(jaccard_distances(features, k1=4, k2=2), eps=0.5, min_samples=3)
    np.testing.assert_array_equal(density_clusters(features, **SEARCH, most=30), expected)


def test_the_largest_clusters_are_kept():
    labels = density_clusters(groups([4, 5, 4, 5]), **SEARCH, most=2)
    np.testing.assert_array_equal(labels, np.repeat([-1, 0, -1, 1], [4, 5, 4, 5]))


def test_fewer_samples_than_neighbours_are_clustered_all_the_same():
    labels = density_clusters(groups([3]), **{**SEARCH, "k1": 30, "k2": 6}, most=3)
    np.testing.assert_array_equal(labels, np.zeros(3))
