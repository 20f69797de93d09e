"""The colours of a map over an image."""

import numpy as np

from man_jax.reporting.activation import overlay


def test_a_strong_place_is_brighter_and_more_yellow_than_a_weak_one():
    image = np.full((8, 8, 3), 100, np.uint8)
    strength = np.array([[0.0, 1.0], [0.0, 1.0]])
    found = overlay(image, strength).astype(int)
    assert found.shape == image.shape
    weak, strong = found[4, 0], found[4, 7]
    assert strong.sum() > weak.sum()
    assert strong[0] > strong[2]  # yellow: red and green, little blue


def test_what_is_under_a_map_is_still_seen():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (8, 8, 3), np.uint8)
    found = overlay(image, np.zeros((2, 2)))
    assert np.corrcoef(found.ravel(), image.ravel())[0, 1] > 0.99


def test_values_beyond_one_are_cut_off():
    image = np.zeros((4, 4, 3), np.uint8)
    np.testing.assert_array_equal(overlay(image, np.full((2, 2), 7.0)), overlay(image, np.ones((2, 2))))
