import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from man_jax.losses.identity import batch_hard_triplet
from man_jax.losses.soft import soft_cross_entropy, soft_triplet, softmax_triplet
from tests.oracles import soft as oracle
from tests.oracles.cases import masks, seeds
from tests.oracles.geometry import central_differences
from tests.oracles.precision import SINGLE, assert_close, assert_slope, both_precisions, evaluate, gradient

B, C, D = 8, 5, 4
EXISTS = np.array([True, False, True, True, False])
LABELS = np.array([0, 0, 1, 1, -1, 2, 2, 0])


def logits(seed: int):
    rng = np.random.default_rng(seed)
    return 2 * rng.normal(size=(B, C)), 2 * rng.normal(size=(B, C)), rng.uniform(0.1, 2, B)


def features(seed: int):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(B, D)), rng.normal(size=(B, D + 1)), rng.uniform(0.1, 2, B)


# --- soft cross-entropy


@both_precisions
def test_the_target_is_the_teacher_s_softmax_over_the_classes_that_exist(precision):
    student, teacher, weight = logits(0)
    value = evaluate(soft_cross_entropy, student, teacher, exists=EXISTS, weight=weight, precision=precision)
    assert_close(value, oracle.soft_cross_entropy(student, teacher, EXISTS, weight), precision)


def test_all_classes_exist_and_all_rows_count_alike_unless_told():
    student, teacher, _ = logits(1)
    expected = oracle.soft_cross_entropy(student, teacher, np.ones(C, bool), np.ones(B))
    assert_close(evaluate(soft_cross_entropy, student, teacher), expected)


def test_soft_cross_entropy_has_the_slope_of_its_formula():
    student, teacher, weight = logits(2)
    expected = central_differences(lambda z: oracle.soft_cross_entropy(z, teacher, EXISTS, weight), student)
    assert_slope(gradient(soft_cross_entropy, student, teacher, exists=EXISTS, weight=weight), expected)


def test_no_slope_goes_to_the_teacher_of_the_logits():
    student, teacher, weight = logits(3)
    slope = gradient(soft_cross_entropy, student, teacher, by=1, exists=EXISTS, weight=weight)
    np.testing.assert_array_equal(slope, np.zeros((B, C)))


def test_a_student_that_answers_as_its_teacher_has_no_slope():
    student, _, _ = logits(4)
    np.testing.assert_allclose(gradient(soft_cross_entropy, student, student + 3.0), 0, atol=1e-12)


@given(seeds, masks(C).filter(any), masks(B))
def test_classes_and_rows_that_take_no_part_are_as_if_they_were_not_there(seed, exists, mask):
    student, teacher, weight = logits(seed)
    there = mask[:, None] & exists[None, :]
    settings = {"exists": exists, "weight": weight * mask}
    hidden = np.where(there, student, 80.0), np.where(there, teacher, -80.0)
    expected = oracle.soft_cross_entropy(
        student[mask][:, exists], teacher[mask][:, exists], exists[exists], weight[mask]
    )
    assert_close(evaluate(soft_cross_entropy, *hidden, **settings), expected)
    np.testing.assert_array_equal(gradient(soft_cross_entropy, *hidden, **settings)[~there], 0)


@pytest.mark.parametrize(
    ("exists", "weight"),
    [(np.zeros(C, bool), np.ones(B)), (EXISTS, np.zeros(B))],
    ids=["no class", "no weight"],
)
def test_without_a_class_or_a_row_value_and_slope_are_zero(exists, weight):
    student, teacher, _ = logits(5)
    settings = {"exists": exists, "weight": weight, "precision": SINGLE}
    assert evaluate(soft_cross_entropy, student, teacher, **settings) == 0
    np.testing.assert_array_equal(
        gradient(soft_cross_entropy, student, teacher, **settings), np.zeros((B, C))
    )


# --- triplets


@both_precisions
@pytest.mark.parametrize("margin", [0.0, 0.3, 1.0])
def test_the_margin_is_the_share_of_the_positive(margin, precision):
    rows, _, weight = features(6)
    value = evaluate(softmax_triplet, rows, LABELS, weight=weight, margin=margin, precision=precision)
    assert_close(value, oracle.softmax_triplet(rows, LABELS, weight, margin), precision)


@both_precisions
def test_the_teacher_answers_for_the_student_s_triplets(precision):
    student, teacher, weight = features(7)
    value = evaluate(soft_triplet, student, teacher, LABELS, weight=weight, precision=precision)
    assert_close(value, oracle.soft_triplet(student, teacher, LABELS, weight), precision)


def test_student_and_teacher_find_other_triplets_in_the_case_that_is_tested():
    student, teacher, weight = features(7)
    assert oracle.hardest(student, LABELS, weight) != oracle.hardest(teacher, LABELS, weight)


def test_triplets_have_the_slopes_of_their_formulas():
    student, teacher, weight = features(8)
    hard = central_differences(lambda rows: oracle.softmax_triplet(rows, LABELS, weight, 0.3), student)
    soft = central_differences(lambda rows: oracle.soft_triplet(rows, teacher, LABELS, weight), student)
    assert_slope(gradient(softmax_triplet, student, LABELS, weight=weight, margin=0.3), hard)
    assert_slope(gradient(soft_triplet, student, teacher, LABELS, weight=weight), soft)


def test_no_slope_goes_to_the_teacher_of_the_triplets():
    student, teacher, weight = features(9)
    slope = gradient(soft_triplet, student, teacher, LABELS, by=1, weight=weight)
    np.testing.assert_array_equal(slope, np.zeros(teacher.shape))


@given(seeds)
def test_without_margin_and_weights_it_is_the_soft_form_of_the_batch_hard_triplet(seed):
    rows, _, _ = features(seed)
    labels = np.abs(LABELS)
    expected = evaluate(batch_hard_triplet, rows, labels, form="soft")
    assert_close(evaluate(softmax_triplet, rows, labels), expected)


@given(seeds, masks(B), st.booleans())
def test_rows_of_no_weight_and_outliers_are_neither_anchors_nor_candidates(seed, mask, by_label):
    student, teacher, weight = features(seed)
    labels = np.abs(LABELS)
    given_weight, given_labels = (weight, np.where(mask, labels, -1)) if by_label else (weight * mask, labels)
    hidden = np.where(mask[:, None], student, 40.0), np.where(mask[:, None], teacher, -40.0)
    expected = oracle.soft_triplet(student[mask], teacher[mask], labels[mask], weight[mask])
    assert_close(evaluate(soft_triplet, *hidden, given_labels, weight=given_weight), expected)
    slope = gradient(soft_triplet, *hidden, given_labels, weight=given_weight)
    np.testing.assert_array_equal(slope[~mask], 0)


@given(seeds)
def test_the_order_of_the_batch_and_the_names_of_the_clusters_change_nothing(seed):
    student, teacher, weight = features(seed)
    order = np.random.default_rng(seed).permutation(B)
    renamed = np.where(LABELS >= 0, 9 - 2 * LABELS, LABELS)[order]
    shuffled = evaluate(soft_triplet, student[order], teacher[order], renamed, weight=weight[order])
    assert_close(shuffled, evaluate(soft_triplet, student, teacher, LABELS, weight=weight))


@pytest.mark.parametrize(
    ("labels", "weight"),
    [
        (np.zeros(B, int), np.ones(B)),
        (np.arange(B), np.ones(B)),
        (np.full(B, -1), np.ones(B)),
        (np.arange(B) % 2, np.zeros(B)),
    ],
    ids=["one cluster", "all different", "all outliers", "no weight"],
)
def test_without_a_triplet_value_and_slope_are_zero(labels, weight):
    student, teacher, _ = features(10)
    settings = {"weight": weight, "precision": SINGLE}
    for slope, value in [
        (
            gradient(softmax_triplet, student, labels, **settings),
            evaluate(softmax_triplet, student, labels, **settings),
        ),
        (
            gradient(soft_triplet, student, teacher, labels, **settings),
            evaluate(soft_triplet, student, teacher, labels, **settings),
        ),
    ]:
        assert value == 0
        np.testing.assert_array_equal(slope, np.zeros((B, D)))


@both_precisions
def test_rows_that_coincide_have_a_finite_slope(precision):
    rows, labels = np.full((B, D), 1.7), np.arange(B) % 2
    assert np.isfinite(gradient(soft_triplet, rows, rows, labels, precision=precision)).all()
    assert evaluate(softmax_triplet, rows, labels, precision=precision) == pytest.approx(np.log(2), abs=1e-4)
