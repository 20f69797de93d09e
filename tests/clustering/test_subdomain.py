import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from man_jax.clustering import subdomain
from man_jax.clustering.subdomain import draw_subdomain, similarity_weights
from tests.oracles import subdomain as oracle
from tests.oracles.cases import seeds, unit_normal

N, D = 12, 4
LIMITS = {"mean": 0.5, "deviation": 0.5, "least": 0.3, "largest": 0.9}


def drawn(seed: int):
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 3, N)
    labels[:2] = 0, 1
    return unit_normal(rng, N, D), labels


def test_rates_are_those_that_are_drawn_until_they_are_within_the_limits():
    found = np.array([draw_subdomain(jax.random.key(i), 1000, **LIMITS).mean() for i in range(600)])
    expected = np.array(oracle.rates(np.random.default_rng(0), 20000, 0.5, 0.5, 0.3, 0.9))
    assert found.min() >= 0.299
    assert found.max() <= 0.9
    for share in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert np.quantile(found, share) == pytest.approx(np.quantile(expected, share), abs=0.04)


def test_every_sample_is_as_likely_to_be_drawn():
    counts = sum(draw_subdomain(jax.random.key(i), 10, **LIMITS).astype(int) for i in range(600))
    assert np.all(np.abs(counts / counts.sum() - 0.1) < 0.015)


def test_the_same_key_draws_the_same_and_another_key_another_part():
    first, again, other = (draw_subdomain(jax.random.key(i), 100, **LIMITS) for i in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


@given(seeds, st.floats(0.05, 3))
def test_weights_fall_with_the_largest_similarity_to_another_cluster(seed, temperature):
    features, labels = drawn(seed)
    found = similarity_weights(features, labels, temperature=temperature)
    expected = oracle.similarity_weights(features, labels, temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert found.sum() == pytest.approx(N)


def test_weights_are_the_same_in_blocks_of_any_size(monkeypatch):
    features, labels = drawn(1)
    whole = similarity_weights(features, labels)
    monkeypatch.setattr(subdomain, "BLOCK", 5)
    np.testing.assert_allclose(similarity_weights(features, labels), whole, rtol=1e-12)


def test_one_cluster_alone_and_none_leave_weights_that_are_finite():
    features, labels = drawn(2)
    alone = similarity_weights(features, np.where(labels >= 0, 0, -1))
    np.testing.assert_allclose(alone[labels >= 0], N / (labels >= 0).sum())
    np.testing.assert_array_equal(similarity_weights(features, np.full(N, -1)), 0)
