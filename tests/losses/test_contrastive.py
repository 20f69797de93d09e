import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from man_jax.losses.contrastive import info_nce
from tests.oracles import contrastive as oracle
from tests.oracles.cases import masks, seeds, unit_normal
from tests.oracles.geometry import central_differences
from tests.oracles.precision import SINGLE, assert_close, assert_slope, both_precisions, evaluate, gradient

B, C, D = 6, 5, 4
EXISTS = np.array([True, False, True, True, False])
LABELS = np.array([0, 2, -1, 3, 2, 3])


def drawn(seed: int):
    rng = np.random.default_rng(seed)
    return unit_normal(rng, B, D), unit_normal(rng, C, D), rng.uniform(0.1, 2, B)


@both_precisions
@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_the_loss_is_the_weighted_mean_over_the_rows_that_have_a_class(temperature, precision):
    features, centres, weight = drawn(0)
    value = evaluate(
        info_nce,
        features,
        centres,
        LABELS,
        exists=EXISTS,
        weight=weight,
        temperature=temperature,
        precision=precision,
    )
    assert_close(value, oracle.info_nce(features, centres, LABELS, EXISTS, weight, temperature), precision)


def test_all_classes_exist_all_rows_count_alike_and_tau_is_a_twentieth_unless_told():
    features, centres, _ = drawn(1)
    labels = np.arange(B) % C
    expected = oracle.info_nce(features, centres, labels, np.ones(C, bool), np.ones(B), 0.05)
    assert_close(evaluate(info_nce, features, centres, labels), expected)


def test_the_loss_has_the_slope_of_its_formula():
    features, centres, weight = drawn(2)
    expected = central_differences(
        lambda rows: oracle.info_nce(rows, centres, LABELS, EXISTS, weight, 0.2), features
    )
    slope = gradient(info_nce, features, centres, LABELS, exists=EXISTS, weight=weight, temperature=0.2)
    assert_slope(slope, expected)


def test_no_slope_goes_to_the_memory():
    features, centres, weight = drawn(3)
    slope = gradient(info_nce, features, centres, LABELS, by=1, exists=EXISTS, weight=weight)
    np.testing.assert_array_equal(slope, np.zeros((C, D)))


@given(seeds, masks(C).filter(any))
def test_classes_that_do_not_exist_are_as_if_they_were_not_there(seed, exists):
    features, centres, _ = drawn(seed)
    labels = np.random.default_rng(seed).choice(np.flatnonzero(exists), B)
    hidden = np.where(exists[:, None], centres, np.nan)
    settings = {"exists": exists, "temperature": 0.2}
    among = np.cumsum(exists) - 1
    expected = oracle.info_nce(features, centres[exists], among[labels], exists[exists], np.ones(B), 0.2)
    assert_close(evaluate(info_nce, features, hidden, labels, **settings), expected)
    assert np.isfinite(gradient(info_nce, features, hidden, labels, **settings)).all()


@given(seeds, masks(B), st.booleans())
def test_rows_of_no_weight_and_outliers_change_nothing(seed, mask, by_label):
    features, centres, weight = drawn(seed)
    labels = np.random.default_rng(seed).integers(0, C, B)
    given_weight, given_labels = (weight, np.where(mask, labels, -1)) if by_label else (weight * mask, labels)
    other = np.where(mask[:, None], features, features[::-1])
    expected = oracle.info_nce(features[mask], centres, labels[mask], np.ones(C, bool), weight[mask])
    assert_close(evaluate(info_nce, other, centres, given_labels, weight=given_weight), expected)
    slope = gradient(info_nce, other, centres, given_labels, weight=given_weight)
    np.testing.assert_array_equal(slope[~mask], 0)


def test_a_label_beyond_the_capacity_takes_no_part():
    features, centres, _ = drawn(4)
    labels = np.array([0, 1, 2, 3, 4, C])
    kept = labels < C
    expected = oracle.info_nce(features[kept], centres, labels[kept], np.ones(C, bool), np.ones(C))
    assert_close(evaluate(info_nce, features, centres, labels), expected)


@pytest.mark.parametrize(
    ("labels", "exists", "weight"),
    [
        (np.full(B, -1), np.ones(C, bool), np.ones(B)),
        (np.zeros(B, int), np.zeros(C, bool), np.ones(B)),
        (np.zeros(B, int), np.ones(C, bool), np.zeros(B)),
        (np.full(B, 1), EXISTS, np.ones(B)),
    ],
    ids=["all outliers", "no class", "no weight", "a class that does not exist"],
)
def test_without_a_row_that_takes_part_value_and_slope_are_zero(labels, exists, weight):
    features, centres, _ = drawn(5)
    settings = {"exists": exists, "weight": weight, "precision": SINGLE}
    assert evaluate(info_nce, features, centres, labels, **settings) == 0
    np.testing.assert_array_equal(gradient(info_nce, features, centres, labels, **settings), np.zeros((B, D)))


def test_another_number_of_classes_needs_no_other_program():
    traces = []

    @jax.jit
    def loss(features, centres, labels, exists):
        traces.append(1)
        return info_nce(features, centres, labels, exists=exists)

    features, centres, _ = drawn(6)
    values = [float(loss(features, centres, np.zeros(B, int), np.arange(C) < k)) for k in range(1, C + 1)]
    assert len(traces) == 1
    assert values == sorted(values), "each class more is one more to be told from"
    assert values[0] == pytest.approx(0.0, abs=1e-6)


@both_precisions
def test_a_small_temperature_stays_finite(precision):
    features, centres, _ = drawn(7)
    labels = np.arange(B) % C
    settings = {"temperature": 1e-4, "precision": precision}
    assert np.isfinite(evaluate(info_nce, features, centres, labels, **settings))
    assert np.isfinite(gradient(info_nce, features, centres, labels, **settings)).all()
