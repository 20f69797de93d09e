"""Features standardised within each camera."""

import numpy as np
import pytest

from man_jax.clustering.camera_statistics import LEAST_DEVIATION, LEAST_SAMPLES, standardise_by_camera
from tests.oracles.cases import unit_normal

M, D, MANY, FEW = 3, 5, LEAST_SAMPLES + 3, LEAST_SAMPLES - 1
CAMERAS = np.repeat([4, 7, 9], [MANY, MANY, FEW])[np.random.default_rng(0).permutation(2 * MANY + FEW)]


def drawn(seed: int) -> np.ndarray:
    return unit_normal(np.random.default_rng(seed), M, len(CAMERAS), D)


def formula(modal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One sample after the other."""
    after = np.zeros_like(modal)
    for m in range(M):
        for i, camera in enumerate(CAMERAS):
            own = [row for row, other in zip(modal[m], CAMERAS, strict=True) if other == camera]
            basis = own if len(own) >= LEAST_SAMPLES else list(modal[m])
            means = [sum(row[d] for row in basis) / len(basis) for d in range(D)]
            stds = [(sum((row[d] - means[d]) ** 2 for row in basis) / len(basis)) ** 0.5 for d in range(D)]
            floor = LEAST_DEVIATION * sum(stds) / D
            row = [(modal[m, i, d] - means[d]) / max(stds[d], floor) for d in range(D)]
            length = sum(x * x for x in row) ** 0.5
            after[m, i] = [x / length for x in row]
    fused = np.array([np.concatenate([after[m, i] for m in range(M)]) for i in range(len(CAMERAS))])
    return after, fused / M**0.5


@pytest.mark.parametrize("seed", range(3))
def test_features_are_those_of_the_formula(seed):
    modal = drawn(seed)
    for actual, expected in zip(standardise_by_camera(modal, CAMERAS), formula(modal), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_what_a_camera_adds_to_its_features_does_not_matter():
    modal = drawn(0).astype(np.float64)
    shift = np.random.default_rng(1).normal(size=(M, 1, D))
    seen = np.where((CAMERAS == 4)[None, :, None], 3 * modal + shift, modal)
    few = CAMERAS == 9
    for one, other in zip(*(standardise_by_camera(each, CAMERAS) for each in (modal, seen)), strict=True):
        np.testing.assert_allclose(one[..., ~few, :], other[..., ~few, :], rtol=1e-3, atol=1e-4)


def test_a_dimension_that_never_changes_is_not_magnified_and_nothing_is_infinite():
    modal = drawn(2)
    modal[..., 0] = 0.3
    modal[0] = 1.0  # a modality without any difference
    features, fused = standardise_by_camera(modal, CAMERAS)
    assert np.isfinite(fused).all()
    np.testing.assert_allclose(features[1:, :, 0], 0, atol=1e-4)
    np.testing.assert_array_equal(features[0], np.zeros_like(features[0]))
