"""Harmonic discrepancy clustering: its steps against loops, and that all clusters have members."""

import numpy as np
import pytest

from man_jax.clustering import harmonic
from man_jax.clustering.jaccard import jaccard_distances
from tests.oracles import three_c as oracle
from tests.oracles.cases import unit_groups, unit_normal

N, K, D = 18, 4, 6


def drawn(seed: int):
    """Features of groups, their Jaccard distances and centres."""
    rng = np.random.default_rng(seed)
    features = unit_groups(rng, 6, 3, D).reshape(N, D).astype(np.float32)
    distances = jaccard_distances(features, k1=5, k2=2)
    return features, distances, unit_normal(rng, K, D).astype(np.float32), rng.integers(0, K, N)


def test_the_confidence_falls_with_the_euler_distance():
    features, _, centres, _ = drawn(0)
    found = harmonic.confidence_of(*map(harmonic.euler_angles, (features, centres)))
    np.testing.assert_allclose(found, oracle.confidence(features, centres), rtol=1e-4)


@pytest.mark.parametrize("block", [harmonic.BLOCK_ENTRIES, 3 * N])
@pytest.mark.parametrize("labels", ["all", "one empty"])
def test_a_sample_s_discrepancy_is_that_to_the_member_of_the_largest_harmonic_mean(
    block, labels, monkeypatch
):
    monkeypatch.setattr(harmonic, "BLOCK_ENTRIES", block)
    features, distances, centres, members = drawn(1)
    members = members if labels == "all" else np.where(members == 2, 0, members)
    trust = harmonic.confidence_of(*map(harmonic.euler_angles, (features, centres)))
    discrepancies = 1 - np.exp(-distances)
    found = harmonic.discrepancies_to_clusters(discrepancies, trust, members)
    np.testing.assert_allclose(found, oracle.to_clusters(discrepancies, trust, members), rtol=1e-6)


def test_peripheral_members_are_those_above_the_mean_by_more_than_a_deviation():
    *_, labels = drawn(2)
    own = np.random.default_rng(2).uniform(size=N)
    found = harmonic.without_peripheral(labels.astype(np.int32), own)
    np.testing.assert_array_equal(found, oracle.inner(labels, own))
    assert (found == -1).any()
    alone = np.arange(N, dtype=np.int32)
    np.testing.assert_array_equal(harmonic.without_peripheral(alone, own), alone)


def test_an_empty_cluster_takes_the_sample_that_fits_its_own_least_and_spares_small_clusters():
    labels = np.array([0] * 6 + [1] * 2, np.int32)
    to_clusters = np.full((8, 3), 0.5)
    to_clusters[:, 0] = [0.4, 0.4, 0.45, 0.4, 0.4, 0.4, 0.5, 0.5]
    to_clusters[4, 1:] = 0.41  # all others are nearly as near to sample 4 as its own
    to_clusters[7] = 0.1  # fits least, but is in a small cluster
    np.testing.assert_array_equal(harmonic.fill_empty(to_clusters, labels), [0, 0, 0, 0, 2, 0, 1, 1])


def test_no_cluster_loses_its_last_member_to_an_empty_one():
    found = harmonic.fill_empty(np.full((3, 3), 0.5), np.array([2, 0, 0], np.int32))
    assert sorted(found.tolist()) == [0, 1, 2]


@pytest.mark.parametrize("num_clusters", [1, 6, N])
def test_there_are_k_clusters_and_none_is_empty(num_clusters):
    features, distances, *_ = drawn(3)
    rng = np.random.default_rng(0)
    labels = harmonic.harmonic_clusters(features, distances, num_clusters=num_clusters, rng=rng)
    assert labels.dtype == np.int32
    assert set(labels.tolist()) - {-1} == set(range(num_clusters))


def test_groups_that_are_plain_to_see_are_found_without_their_peripheral_members():
    rng = np.random.default_rng(5)
    truth = np.repeat(np.arange(5), 8)
    features = np.eye(8)[truth] + 0.05 * rng.normal(size=(40, 8))
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    distances = jaccard_distances(features, k1=8, k2=3)
    labels = harmonic.harmonic_clusters(features, distances, num_clusters=5, rng=np.random.default_rng(1))
    inside = labels >= 0
    assert len({*zip(truth[inside].tolist(), labels[inside].tolist(), strict=True)}) == 5
    assert inside.mean() > 0.5


def test_the_labels_depend_on_the_seed_alone():
    features, distances, *_ = drawn(4)
    first, again = (
        harmonic.harmonic_clusters(features, distances, num_clusters=4, rng=np.random.default_rng(7))
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)


def test_samples_that_coincide_are_clustered_all_the_same():
    features = np.ones((6, D), np.float32)
    labels = harmonic.harmonic_clusters(
        features, np.zeros((6, 6), np.float32), num_clusters=3, rng=np.random.default_rng(0)
    )
    assert set(labels.tolist()) == {0, 1, 2}


@pytest.mark.parametrize("num_clusters", [0, N + 1])
def test_more_clusters_than_samples_are_refused(num_clusters):
    features, distances, *_ = drawn(0)
    with pytest.raises(ValueError, match=f"num_clusters is {num_clusters}, but there are {N} samples"):
        harmonic.harmonic_clusters(
            features, distances, num_clusters=num_clusters, rng=np.random.default_rng(0)
        )
