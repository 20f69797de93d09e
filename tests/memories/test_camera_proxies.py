"""The proxies of clusters in cameras: their numbers, their room, their centres, and whose proxy is whose."""

import numpy as np
import pytest
from hypothesis import given

from man_jax.memories.camera_proxies import (
    CameraProxies,
    empty_proxies,
    find_proxies,
    make_proxies,
    number_proxies,
    proxy_capacity,
)
from tests.oracles import proxies as oracle
from tests.oracles.cases import seeds
from tests.oracles.precision import evaluate

N, D, K, C = 20, 4, 3, 2


def drawn(seed: int):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, D)), rng.integers(-1, K, N), rng.integers(-1, C, N)


def test_proxies_are_numbered_by_cluster_and_then_by_camera():
    clusters, cameras = np.array([1, 0, -1, 1, 0, 1]), np.array([3, 5, 5, 0, 5, 3])
    np.testing.assert_array_equal(number_proxies(clusters, cameras), [2, 0, -1, 1, 0, 2])


def test_without_a_cluster_there_is_no_proxy():
    np.testing.assert_array_equal(number_proxies(np.full(4, -1), np.arange(4)), np.full(4, -1))


@pytest.mark.parametrize(("num_clusters", "room"), [(3, 6), (50, 20), (0, 1)])
def test_there_is_room_for_every_cluster_in_every_camera_but_for_no_more_than_the_triples(num_clusters, room):
    assert proxy_capacity(num_clusters, np.arange(N) % 2) == room


@given(seeds)
def test_a_proxy_is_the_unit_mean_of_its_cluster_s_features_in_its_camera(seed):
    features, clusters, cameras = drawn(seed)
    made = make_proxies(features.astype(np.float32), clusters, cameras, capacity=12)
    expected = oracle.proxies_of(features, clusters, cameras)
    count = len(expected)
    np.testing.assert_array_equal(made.exists, np.arange(12) < count)
    assert [*zip(made.cluster[:count].tolist(), made.camera[:count].tolist(), strict=True)] == [*expected]
    np.testing.assert_allclose(made.centres[:count], [*expected.values()], atol=1e-6)
    np.testing.assert_array_equal(made.centres[count:], 0)


def test_more_proxies_than_there_is_room_for_are_refused():
    with pytest.raises(ValueError, match="4 proxies, but there is room for 3"):
        make_proxies(np.ones((4, D), np.float32), np.arange(4), np.zeros(4, int), capacity=3)


def test_a_row_s_proxy_is_that_of_its_cluster_in_its_camera():
    proxies = CameraProxies(np.zeros((4, D)), np.array([0, 0, 2, -1]), np.array([0, 1, 1, -1]))
    clusters, cameras = np.array([0, 2, 0, 2, -1]), np.array([1, 1, 0, 0, -1])
    np.testing.assert_array_equal(evaluate(find_proxies, proxies, clusters, cameras), [1, 2, 0, -1, -1])


def test_in_an_empty_memory_no_row_has_a_proxy():
    proxies = empty_proxies(capacity=5, dim=D)
    assert not proxies.exists.any()
    np.testing.assert_array_equal(find_proxies(proxies, np.array([-1, 0]), np.array([-1, 0])), [-1, -1])
