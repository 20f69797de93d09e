import numpy as np

from man_jax.losses.distillation import feature_distillation
from tests.oracles import distillation as oracle
from tests.oracles.geometry import central_differences
from tests.oracles.precision import assert_close, assert_slope, both_precisions, evaluate, gradient

B, D = 6, 4


def drawn(seed: int):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(B, D)), rng.normal(size=(B, D)), rng.uniform(0.1, 2, B) * (np.arange(B) != 2)


@both_precisions
def test_the_squared_distances_are_averaged_by_weight(precision):
    student, teacher, weight = drawn(0)
    value = evaluate(feature_distillation, student, teacher, weight=weight, precision=precision)
    assert_close(value, oracle.feature_distillation(student, teacher, weight), precision)


def test_all_rows_count_alike_unless_told_and_no_row_gives_zero():
    student, teacher, _ = drawn(1)
    expected = oracle.feature_distillation(student, teacher, np.ones(B))
    assert_close(evaluate(feature_distillation, student, teacher), expected)
    assert evaluate(feature_distillation, student, teacher, weight=np.zeros(B)) == 0


def test_the_slope_is_that_of_the_formula_and_none_goes_to_the_teacher():
    student, teacher, weight = drawn(2)
    expected = central_differences(lambda x: oracle.feature_distillation(x, teacher, weight), student)
    assert_slope(gradient(feature_distillation, student, teacher, weight=weight), expected)
    assert not gradient(feature_distillation, student, teacher, by=1, weight=weight).any()
