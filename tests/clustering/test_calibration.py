import numpy as np
import pytest

from man_jax.clustering.calibration import calibrate

S, F = 2, 3
LABELS = np.array([0, 0, 0, 0, 0, 1, 1, 1, -1, 2, 2])
CLEAN = np.array([0.9, 0.8, 0.7, 0.02, 0.06, 0.9, 0.05, 0.04, 0.01, 0.9, 0.8])
"""Cluster 0 has three clean samples and two noisy ones, cluster 1 one clean, cluster 2 no noisy one."""


def features(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(S, len(LABELS), F))


def calibrated(seed: int, covariance: str = "class", rows: np.ndarray | None = None) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = features() if rows is None else rows
    return calibrate(rows, LABELS, CLEAN, threshold=0.1, covariance=covariance, rng=rng)


def test_only_noisy_samples_of_a_cluster_with_two_clean_ones_move_by_one_sample_a_space():
    before, after = features(), calibrated(1)
    moved = np.any(before != after, axis=2)
    np.testing.assert_array_equal(moved, np.tile(np.isin(np.arange(len(LABELS)), [3, 4]), (S, 1)))
    for space in range(S):
        samples = [(after[space, i] - CLEAN[i] * before[space, i]) / (1 - CLEAN[i]) for i in (3, 4)]
        np.testing.assert_allclose(samples[0], samples[1])
    np.testing.assert_array_equal(after, calibrated(1))
    assert not np.array_equal(after, calibrated(2))


@pytest.mark.parametrize("covariance", ["class", "code"])
def test_the_sample_has_the_mean_and_the_covariance_of_the_clean_features(covariance):
    before = features()
    drawn = np.stack([calibrated(seed, covariance)[:, 3] for seed in range(6000)])
    samples = (drawn - CLEAN[3] * before[:, 3]) / (1 - CLEAN[3])
    for space in range(S):
        own = np.cov(before[space, :3].T)
        expected = own if covariance == "class" else own @ own.T + np.eye(F)
        np.testing.assert_allclose(samples[:, space].mean(axis=0), before[space, :3].mean(axis=0), atol=0.1)
        np.testing.assert_allclose(np.cov(samples[:, space].T), expected, atol=0.12 * np.abs(expected).max())


def test_another_covariance_is_refused():
    with pytest.raises(ValueError, match="covariance is 'diagonal'; choose class or code"):
        calibrated(0, "diagonal")
