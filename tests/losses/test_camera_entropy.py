import numpy as np
import pytest
from hypothesis import given

from man_jax.losses.camera_entropy import camera_entropy_weights, camera_weighted_contrast
from tests.oracles import three_c as oracle
from tests.oracles.cases import masks, seeds, unit_normal
from tests.oracles.geometry import central_differences
from tests.oracles.precision import assert_close, assert_slope, both_precisions, evaluate, gradient

B, C, D = 8, 5, 4
EXISTS = np.array([True, False, True, True, True])


def drawn(seed: int):
    rng = np.random.default_rng(seed)
    return (
        unit_normal(rng, B, D),
        unit_normal(rng, C, D),
        rng.integers(-1, C, B),
        rng.integers(0, 3, B),
        rng.uniform(0.1, 2, B),
    )


@given(seeds, masks(B))
def test_a_cluster_counts_by_the_entropy_of_its_cameras_in_the_batch(seed, mask):
    *_, labels, cameras, _ = drawn(seed)
    weights = evaluate(camera_entropy_weights, labels, cameras, mask=mask)
    assert_close(weights, oracle.camera_entropy_weights(labels, cameras, mask))


def test_a_cluster_of_two_cameras_counts_more_than_one_of_one_camera():
    labels, cameras = np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([0, 1, 0, 1, 2, 2, 2, 2])
    weights = evaluate(camera_entropy_weights, labels, cameras, mask=np.ones(B, bool))
    assert weights[0] / weights[4] == pytest.approx(np.e)
    assert weights.mean() == pytest.approx(1)


@both_precisions
@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_the_loss_is_the_mean_of_each_row_s_value_times_its_cluster_s_weight(temperature, precision):
    features, centres, labels, cameras, weight = drawn(0)
    settings = {"exists": EXISTS, "weight": weight, "temperature": temperature}
    value = evaluate(
        camera_weighted_contrast, features, centres, labels, cameras, **settings, precision=precision
    )
    expected = oracle.contrast(features, centres, labels, cameras, EXISTS, weight, temperature)
    assert_close(value, expected, precision)


@given(seeds, masks(B))
def test_rows_of_no_weight_change_nothing(seed, mask):
    features, centres, labels, cameras, weight = drawn(seed)
    settings = {"exists": EXISTS, "weight": weight * mask, "temperature": 0.2}
    other = np.where(mask[:, None], features, features[::-1])
    shuffled = np.where(mask, cameras, cameras[::-1])
    value = evaluate(camera_weighted_contrast, other, centres, labels, shuffled, **settings)
    expected = oracle.contrast(features, centres, labels, cameras, EXISTS, weight * mask, 0.2)
    assert_close(value, expected)
    slope = gradient(camera_weighted_contrast, other, centres, labels, shuffled, **settings)
    np.testing.assert_array_equal(slope[~mask], 0)


def test_the_loss_has_the_slope_of_its_formula():
    features, centres, labels, cameras, weight = drawn(2)
    expected = central_differences(
        lambda rows: oracle.contrast(rows, centres, labels, cameras, EXISTS, weight, 0.2), features
    )
    settings = {"exists": EXISTS, "weight": weight, "temperature": 0.2}
    slope = gradient(camera_weighted_contrast, features, centres, labels, cameras, **settings)
    assert_slope(slope, expected)
