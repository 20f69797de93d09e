import numpy as np
import pytest
from hypothesis import given

from man_jax.losses.instance_contrast import instance_nce
from tests.oracles import contrastive as oracle
from tests.oracles.cases import masks, seeds, unit_normal
from tests.oracles.geometry import central_differences
from tests.oracles.precision import assert_close, assert_slope, both_precisions, evaluate, gradient

B, N, D = 6, 11, 4
OF_INSTANCES = np.array([0, 0, 1, -1, 2, 2, 2, -1, 0, 1, 4])
LABELS = np.array([0, 0, 1, 2, 4, 2])


def drawn(seed: int):
    rng = np.random.default_rng(seed)
    return unit_normal(rng, B, D), unit_normal(rng, N, D), rng.uniform(0.1, 2, B)


@both_precisions
@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_the_share_of_a_feature_s_own_samples_is_maximised(temperature, precision):
    features, instances, weight = drawn(0)
    settings = {"weight": weight, "temperature": temperature}
    found = evaluate(instance_nce, features, instances, OF_INSTANCES, LABELS, **settings, precision=precision)
    expected = oracle.instance_nce(features, instances, OF_INSTANCES, LABELS, weight, temperature)
    assert_close(found, expected, precision)


def test_the_loss_has_the_slope_of_its_formula_and_none_by_the_memory():
    features, instances, weight = drawn(1)
    expected = central_differences(
        lambda f: oracle.instance_nce(f, instances, OF_INSTANCES, LABELS, weight, 0.2), features
    )
    known = {"weight": weight, "temperature": 0.2}
    assert_slope(gradient(instance_nce, features, instances, OF_INSTANCES, LABELS, **known), expected)
    by_memory = gradient(instance_nce, features, instances, OF_INSTANCES, LABELS, by=1, **known)
    np.testing.assert_array_equal(by_memory, 0)


@given(seeds, masks(B))
def test_rows_of_no_weight_outliers_and_labels_without_a_sample_change_nothing(seed, mask):
    features, instances, weight = drawn(seed)
    hidden = np.where(mask, LABELS, np.where(np.arange(B) % 2, -1, 3))
    found = evaluate(instance_nce, features, instances, OF_INSTANCES, hidden, weight=weight)
    expected = oracle.instance_nce(features[mask], instances, OF_INSTANCES, LABELS[mask], weight[mask], 0.05)
    assert_close(found, expected)
    slope = gradient(instance_nce, features, instances, OF_INSTANCES, hidden, weight=weight)
    np.testing.assert_array_equal(slope[~mask], 0)
    assert_close(
        evaluate(instance_nce, features, instances, OF_INSTANCES, LABELS, weight=weight * mask), expected
    )


def test_a_small_temperature_stays_finite():
    features, instances, weight = drawn(2)
    slope = gradient(instance_nce, features, instances, OF_INSTANCES, LABELS, weight=weight, temperature=1e-4)
    assert np.isfinite(slope).all()
