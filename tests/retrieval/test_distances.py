"""Distances of queries to a gallery, against sums of squared differences."""

import math

import numpy as np
import pytest

from man_jax.retrieval import distances as module
from man_jax.retrieval.distances import FeatureDistances, query_gallery_distances


def drawn(dtype=np.float64):
    rng = np.random.default_rng(0)
    return rng.normal(size=(4, 5)).astype(dtype), rng.normal(size=(6, 5)).astype(dtype)


def test_squared_distances_equal_the_sum_of_squared_differences():
    query, gallery = drawn()
    expected = [[math.fsum((q - g) ** 2) for g in gallery] for q in query]
    np.testing.assert_allclose(query_gallery_distances(query, gallery), expected, atol=1e-12)


def test_float32_distances_of_equal_unit_features_are_never_negative():
    features = np.random.default_rng(0).normal(size=(50, 33)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    distances = query_gallery_distances(features, features)
    assert distances.dtype == np.float32
    assert distances.min() >= 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_feature_that_is_not_finite_is_refused_with_its_row(value):
    gallery = np.ones((4, 2))
    gallery[2, 1] = value
    with pytest.raises(ValueError, match=r"1 of 4 gallery features .* row 2"):
        query_gallery_distances(np.ones((1, 2)), gallery)


def test_features_of_different_widths_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 2\) and \(1, 3\)"):
        query_gallery_distances(np.ones((1, 2)), np.ones((1, 3)))


@pytest.mark.parametrize(
    "queries", [0, -1, slice(1, 3), slice(3, 99), np.array([2, 0, 2]), slice(None)], ids=repr
)
def test_some_rows_are_those_of_all(queries):
    query, gallery = drawn()
    rows = FeatureDistances(query, gallery)
    expected = [[math.fsum((q - g) ** 2) for g in gallery] for q in query]
    assert rows.shape == (4, 6)
    np.testing.assert_allclose(rows[queries], np.array(expected)[queries], atol=1e-12)


def test_rows_as_an_array_are_all_distances_in_the_type_that_is_asked_for():
    rows = FeatureDistances(*drawn(np.float32))
    assert np.asarray(rows).dtype == np.float32
    np.testing.assert_array_equal(np.asarray(rows), rows[:])
    assert np.asarray(rows, np.float64).dtype == np.float64


# --- much work, on the device


@pytest.fixture
def device_products(monkeypatch):
    """Count the queries of each product on the device, where little work goes as well, three rows at a time."""
    heights = []
    compute = module._distances
    monkeypatch.setattr(module, "_distances", lambda *call: heights.append(len(call[0])) or compute(*call))
    for name, value in (("MUCH", 4 * 6 * 5), ("FEWEST_ROWS", 2), ("MOST_ROWS", 3)):
        monkeypatch.setattr(module, name, value)
    return heights


@pytest.mark.parametrize(
    ("queries", "heights"),
    [
        (0, []),
        (slice(1, 2), []),
        (slice(1, 3), [2]),
        (slice(None), [4, 1]),
        (np.array([2, 0, 2]), [4]),
    ],
    ids=repr,
)
def test_rows_of_much_work_are_those_of_numpy_in_blocks_of_few_heights(device_products, queries, heights):
    query, gallery = drawn(np.float32)
    rows = FeatureDistances(query, gallery)[queries]
    expected = np.array(
        [[math.fsum((q - g) ** 2) for g in gallery.astype(float)] for q in query.astype(float)]
    )
    np.testing.assert_allclose(rows, expected[queries], rtol=1e-5, atol=1e-5)
    assert device_products == heights


def test_rows_from_the_device_can_be_written(device_products):
    rows = FeatureDistances(*drawn(np.float32))[:]
    rows[0] = 0
    assert device_products


@pytest.mark.parametrize("why", ["little work", "float64", "a large gallery"])
def test_other_rows_are_numpy_s(device_products, monkeypatch, why):
    if why != "float64":
        monkeypatch.setattr(
            module, *{"little work": ("MUCH", 121), "a large gallery": ("LARGEST_GALLERY", 119)}[why]
        )
    FeatureDistances(*drawn(np.float64 if why == "float64" else np.float32))[:]
    assert device_products == []
