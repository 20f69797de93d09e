import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from man_jax.memories.camera_centres import update_by_discrepancy
from tests.oracles import three_c as oracle
from tests.oracles.cases import masks, seeds, unit_normal
from tests.oracles.precision import assert_close, both_precisions, evaluate, gradient

B, C, D = 9, 4, 5


def drawn(seed: int):
    rng = np.random.default_rng(seed)
    values, features = unit_normal(rng, C, D), unit_normal(rng, B, D)
    return values, features, rng.integers(-1, C, B), rng.integers(0, 2, B), rng.random(C) < 0.8


@given(seeds, masks(B), st.sampled_from([0.0, 0.1, 0.9]))
def test_each_class_moves_towards_its_most_informative_row(seed, mask, momentum):
    values, features, labels, cameras, exists = drawn(seed)
    settings = {"exists": exists, "weight": 1.0 * mask, "momentum": momentum}
    moved = evaluate(update_by_discrepancy, values, features, labels, cameras, **settings)
    expected = oracle.update(values, features, labels, cameras, exists, mask, momentum)
    assert_close(moved, expected)


@both_precisions
def test_the_row_that_is_farthest_from_its_class_is_passed_over_if_its_camera_does_not_confirm_it(precision):
    values, aside = np.array([[1.0, 0, 0]]), [-0.5, -np.sqrt(0.75), 0]
    features = np.array([aside, [0, 1.0, 0], [0, 1.0, 0], [0, 1.0, 0]])
    settings = {"exists": np.ones(1, bool), "weight": np.ones(4), "momentum": 0.0, "precision": precision}

    def chosen(cameras):
        labels = np.zeros(4, int)
        return evaluate(update_by_discrepancy, values, features, labels, np.array(cameras), **settings)[0]

    assert_close(chosen([0, 0, 0, 0]), features[1], precision)
    assert_close(chosen([1, 0, 0, 0]), aside, precision)


def test_no_slope_goes_through_the_move():
    values, features, labels, cameras, exists = drawn(3)
    settings = {"exists": exists, "weight": np.ones(B), "momentum": 0.2}
    slope = gradient(update_by_discrepancy, values, features, labels, cameras, by=1, **settings)
    np.testing.assert_array_equal(slope, 0)


@pytest.mark.parametrize("label", [-1, C])
def test_rows_of_no_class_move_nothing(label):
    values, features, _, cameras, _ = drawn(4)
    settings = {"exists": np.ones(C, bool), "weight": np.ones(B), "momentum": 0.2}
    moved = evaluate(update_by_discrepancy, values, features, np.full(B, label), cameras, **settings)
    assert_close(moved, values)
