import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN

from man_jax.clustering.dbscan import dbscan
from tests.oracles.cases import seeds

N = 60


def distances_of(points):
    return np.linalg.norm(points[:, None] - points[None, :], axis=-1).astype(np.float32)


def library(distances, eps, min_samples):
    return DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed").fit_predict(distances)


@given(seeds, st.floats(0.01, 0.6), st.integers(1, 8))
def test_labels_are_those_of_scikit_learn(seed, eps, min_samples):
    distances = distances_of(np.random.default_rng(seed).uniform(size=(N, 2)))
    labels = dbscan(distances, eps=eps, min_samples=min_samples)
    np.testing.assert_array_equal(labels, library(distances, eps, min_samples))
    assert labels.dtype == np.int32


@given(seeds, st.sampled_from([0.1, 0.2, 0.3]), st.integers(2, 5))
def test_labels_are_those_of_scikit_learn_where_distances_equal_eps(seed, eps, min_samples):
    points = np.random.default_rng(seed).integers(0, 8, (N, 2)) / np.float32(10)
    distances = np.round(distances_of(points), 1)
    np.testing.assert_array_equal(
        dbscan(distances, eps=eps, min_samples=min_samples), library(distances, eps, min_samples)
    )


def line(*places):
    return distances_of(np.array(places, float)[:, None])


def test_a_sample_between_two_clusters_goes_to_the_first():
    # The last one is near both groups and has too few near ones to join them.
    labels = dbscan(line(0, 0, 0, 1, 5, 6, 6, 6, 3), eps=2, min_samples=4)
    np.testing.assert_array_equal(labels, [0, 0, 0, 0, 1, 1, 1, 1, 0])


def test_clusters_are_numbered_by_their_first_core_sample():
    # Sample 0 is a border of the cluster around 5, whose first core sample comes after that around 0.
    labels = dbscan(line(7, 0, 0, 0, 5, 5, 5, 6), eps=1.5, min_samples=3)
    np.testing.assert_array_equal(labels, [1, 0, 0, 0, 1, 1, 1, 1])


def test_a_sample_counts_itself():
    np.testing.assert_array_equal(dbscan(line(0, 1, 9), eps=1, min_samples=2), [0, 0, -1])
    np.testing.assert_array_equal(dbscan(line(0, 1, 9), eps=1, min_samples=3), [-1, -1, -1])


def test_a_sample_is_near_itself_though_its_distance_was_rounded():
    np.testing.assert_array_equal(dbscan(np.full((2, 2), 0.5), eps=0.1, min_samples=1), [0, 1])


@given(seeds)
def test_the_order_of_the_samples_changes_no_group_of_core_samples(seed):
    rng = np.random.default_rng(seed)
    distances, order = distances_of(rng.uniform(size=(N, 2))), rng.permutation(N)
    labels = dbscan(distances, eps=0.1, min_samples=4)
    shuffled = np.empty_like(labels)
    shuffled[order] = dbscan(distances[np.ix_(order, order)], eps=0.1, min_samples=4)
    core = (distances <= 0.1).sum(axis=1) >= 4
    same = labels[core, None] == labels[None, core]
    np.testing.assert_array_equal(same, shuffled[core, None] == shuffled[None, core])
    np.testing.assert_array_equal(labels == -1, shuffled == -1)


def test_no_samples_have_no_labels():
    assert dbscan(np.zeros((0, 0)), eps=1.0).shape == (0,)


@pytest.mark.parametrize(
    ("distances", "settings", "words"),
    [
        (np.zeros((2, 3)), {}, r"shape \(2, 3\)"),
        (np.zeros(4), {}, r"shape \(4,\)"),
        (np.array([[0, np.nan], [np.nan, 0]]), {}, "samples 0 and 1 is nan"),
        (np.array([[0, np.inf], [np.inf, 0]]), {}, "samples 0 and 1 is inf"),
        (np.array([[0, -1], [-1, 0]]), {}, "samples 0 and 1 is -1"),
        (np.array([[0, 0.2], [0.9, 0]]), {}, r"d\(0, 1\) is 0.2 and d\(1, 0\) is 0.9.*symmetric"),
        (np.zeros((2, 2)), {"eps": -0.1}, "eps is -0.1; choose"),
        (np.zeros((2, 2)), {"eps": float("nan")}, "eps is nan; choose"),
        (np.zeros((2, 2)), {"min_samples": 0}, "min_samples is 0; choose min_samples >= 1"),
    ],
)
def test_what_has_no_clusters_is_refused_with_the_limit(distances, settings, words):
    with pytest.raises(ValueError, match=words):
        dbscan(distances, **{"eps": 0.5, **settings})
