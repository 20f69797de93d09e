import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from man_jax.losses.identity import batch_hard_triplet, smoothed_cross_entropy
from tests.oracles import identity as oracle
from tests.oracles.cases import masks, seeds
from tests.oracles.geometry import central_differences
from tests.oracles.precision import SINGLE, assert_close, assert_slope, both_precisions, evaluate, gradient

B, D, C = 8, 5, 7
FORMS = ["hinge", "soft"]


def drawn(seed: int, identities: int = 3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(B, D)), rng.integers(0, identities, B)


def _among(labels: np.ndarray, exists: np.ndarray) -> np.ndarray:
    """The places of labels among the classes that exist."""
    return (np.cumsum(exists) - 1)[labels]


# --- cross-entropy (Eq. 22, first line)


@both_precisions
@pytest.mark.parametrize("smoothing", [0.1, 0.0, 1.0])
def test_cross_entropy_is_that_of_the_smoothed_label(smoothing, precision):
    rng = np.random.default_rng(0)
    logits, labels = 3 * rng.normal(size=(B, C)), rng.integers(0, C, B)
    losses = evaluate(smoothed_cross_entropy, logits, labels, smoothing=smoothing, precision=precision)
    assert_close(losses, oracle.smoothed_cross_entropy(logits, labels, smoothing), precision)


def test_smoothing_is_a_tenth_unless_told():
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=(B, C)), rng.integers(0, C, B)
    assert_close(
        evaluate(smoothed_cross_entropy, logits, labels), oracle.smoothed_cross_entropy(logits, labels, 0.1)
    )


def test_cross_entropy_has_the_slope_of_its_formula():
    rng = np.random.default_rng(2)
    logits, labels = rng.normal(size=(B, C)), rng.integers(0, C, B)
    expected = central_differences(lambda z: oracle.smoothed_cross_entropy(z, labels).sum(), logits)
    assert_slope(gradient(smoothed_cross_entropy, logits, labels), expected)


@given(seeds, st.floats(-50, 50))
def test_a_constant_added_to_all_logits_changes_nothing(seed, constant):
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(size=(B, C)), rng.integers(0, C, B)
    shifted = evaluate(smoothed_cross_entropy, logits + constant, labels)
    assert_close(shifted, evaluate(smoothed_cross_entropy, logits, labels))


@both_precisions
def test_huge_logits_stay_finite(precision):
    logits, labels = 1e4 * np.eye(B, C), np.arange(B)[::-1] % C
    assert np.isfinite(evaluate(smoothed_cross_entropy, logits, labels, precision=precision)).all()
    assert np.isfinite(gradient(smoothed_cross_entropy, logits, labels, precision=precision)).all()


def class_masks(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """Some classes that exist; those of the labels always do."""
    return (rng.random(C) < 0.5) | np.isin(np.arange(C), labels)


@both_precisions
@pytest.mark.parametrize("smoothing", [0.1, 0.0, 1.0])
def test_cross_entropy_is_of_the_classes_that_exist(smoothing, precision):
    rng = np.random.default_rng(4)
    logits, labels = 3 * rng.normal(size=(B, C)), rng.integers(0, 3, B)
    exists = class_masks(rng, labels)
    assert not exists.all()
    settings = {"smoothing": smoothing, "exists": exists}
    losses = evaluate(smoothed_cross_entropy, logits, labels, precision=precision, **settings)
    assert_close(losses, oracle.smoothed_cross_entropy(logits, labels, smoothing, exists), precision)
    assert_close(
        losses, oracle.smoothed_cross_entropy(logits[:, exists], _among(labels, exists), smoothing), precision
    )


def test_cross_entropy_of_the_classes_that_exist_has_the_slope_of_its_formula():
    rng = np.random.default_rng(5)
    logits, labels = rng.normal(size=(B, C)), rng.integers(0, 3, B)
    exists = class_masks(rng, labels)
    expected = central_differences(
        lambda z: oracle.smoothed_cross_entropy(z, labels, exists=exists).sum(), logits
    )
    slope = gradient(smoothed_cross_entropy, logits, labels, exists=exists)
    assert_slope(slope, expected)
    np.testing.assert_array_equal(slope[:, ~exists], 0)


@pytest.mark.parametrize("logit", [-1e4, 0.0, 80.0, 1e30, np.inf, np.nan])
@both_precisions
def test_the_logit_of_a_class_that_does_not_exist_changes_no_value_and_no_slope(logit, precision):
    rng = np.random.default_rng(6)
    logits, labels, exists = rng.normal(size=(B, C)), rng.integers(0, 3, B), np.arange(C) < 4
    other = np.where(exists, logits, logit)
    for function in (evaluate, gradient):
        values = [
            function(smoothed_cross_entropy, each, labels, exists=exists, precision=precision)
            for each in (logits, other)
        ]
        np.testing.assert_array_equal(*values)
        assert np.isfinite(values[1]).all()


@both_precisions
@pytest.mark.parametrize("function", [evaluate, gradient], ids=["value", "slope"])
def test_where_all_classes_exist_the_mask_changes_nothing(function, precision):
    rng = np.random.default_rng(7)
    logits, labels = rng.normal(size=(B, C)), rng.integers(0, C, B)
    settings = {"exists": np.ones(C, bool), "precision": precision}
    masked = function(smoothed_cross_entropy, logits, labels, **settings)
    plain = function(smoothed_cross_entropy, logits, labels, precision=precision)
    # Another program, so the last bit may be another.
    np.testing.assert_allclose(masked, plain, rtol=1e-6, atol=1e-7)


def test_each_sample_has_its_own_loss():
    rng = np.random.default_rng(3)
    logits, labels = rng.normal(size=(B, C)), rng.integers(0, C, B)
    other = logits.copy()
    other[0] += rng.normal(size=C)
    changed = evaluate(smoothed_cross_entropy, other, labels) != evaluate(
        smoothed_cross_entropy, logits, labels
    )
    np.testing.assert_array_equal(changed, np.arange(B) == 0)


# --- batch-hard triplet (Eq. 22, second line)


@both_precisions
@pytest.mark.parametrize("form", FORMS)
def test_triplet_takes_the_hardest_of_each_anchor(form, precision):
    anchors, labels = drawn(4)
    value = evaluate(batch_hard_triplet, anchors, labels, form=form, precision=precision)
    assert_close(value, oracle.batch_hard_triplet(anchors, labels, form), precision)


@pytest.mark.parametrize("margin", [0.0, 1.5])
def test_the_margin_counts_in_the_hinge(margin):
    anchors, labels = drawn(5)
    expected = oracle.batch_hard_triplet(anchors, labels, "hinge", margin)
    assert_close(evaluate(batch_hard_triplet, anchors, labels, margin=margin), expected)


def test_the_margin_counts_for_nothing_in_the_soft_form():
    anchors, labels = drawn(6)
    wide = evaluate(batch_hard_triplet, anchors, labels, form="soft", margin=9.0)
    assert_close(wide, oracle.batch_hard_triplet(anchors, labels, "soft"))


@pytest.mark.parametrize("form", FORMS)
def test_triplet_has_the_slope_of_its_formula(form):
    anchors, labels = drawn(7)
    expected = central_differences(lambda rows: oracle.batch_hard_triplet(rows, labels, form), anchors)
    assert_slope(gradient(batch_hard_triplet, anchors, labels, form=form), expected)


@given(seeds, masks(B), st.sampled_from(FORMS))
def test_a_mask_means_the_subset(seed, mask, form):
    anchors, labels = drawn(seed)
    hidden = np.where(mask[:, None], anchors, 40.0)
    value = evaluate(batch_hard_triplet, hidden, labels, mask=mask, form=form)
    assert_close(value, oracle.batch_hard_triplet(anchors[mask], labels[mask], form))


@pytest.mark.parametrize("form", FORMS)
def test_masked_rows_have_no_slope_and_the_others_that_of_the_subset(form):
    anchors, labels = drawn(11)
    mask = np.arange(B) % 4 > 0
    slope = gradient(batch_hard_triplet, np.where(mask[:, None], anchors, 40.0), labels, mask=mask, form=form)

    def formula(rows):
        return oracle.batch_hard_triplet(rows, labels[mask], form)

    np.testing.assert_array_equal(slope[~mask], 0)
    assert_slope(slope[mask], central_differences(formula, anchors[mask]))


@given(seeds)
def test_triplet_does_not_depend_on_the_order_of_the_batch(seed):
    anchors, labels = drawn(seed)
    order = np.random.default_rng(seed).permutation(B)
    shuffled = evaluate(batch_hard_triplet, anchors[order], labels[order])
    assert_close(shuffled, evaluate(batch_hard_triplet, anchors, labels))


@given(seeds)
def test_triplet_does_not_depend_on_the_names_of_the_identities(seed):
    anchors, labels = drawn(seed)
    renamed = evaluate(batch_hard_triplet, anchors, 100 - 7 * labels)
    assert_close(renamed, evaluate(batch_hard_triplet, anchors, labels))


def test_an_identity_of_one_sample_is_a_negative_but_no_anchor():
    anchors, labels = drawn(8)[0], np.array([0, 0, 0, 1, 1, 1, 1, 2])
    slope = gradient(batch_hard_triplet, anchors, labels, margin=9.0)
    assert_close(evaluate(batch_hard_triplet, anchors, labels), oracle.batch_hard_triplet(anchors, labels))
    assert_slope(
        slope, central_differences(lambda a: oracle.batch_hard_triplet(a, labels, "hinge", 9.0), anchors)
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("labels", "mask"),
    [
        (np.zeros(B, int), np.ones(B, bool)),
        (np.arange(B), np.ones(B, bool)),
        (np.arange(B) % 2, np.zeros(B, bool)),
        (np.arange(B) % 2, np.arange(B) < 1),
    ],
    ids=["one identity", "all different", "none reliable", "one reliable"],
)
def test_without_a_triplet_value_and_slope_are_zero(labels, mask, form):
    settings = {"mask": mask, "form": form, "precision": SINGLE}
    anchors, _ = drawn(9)
    assert evaluate(batch_hard_triplet, anchors, labels, **settings) == 0
    np.testing.assert_array_equal(gradient(batch_hard_triplet, anchors, labels, **settings), np.zeros((B, D)))


@both_precisions
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("vector", [np.zeros(D), np.full(D, 3.3)], ids=["zero", "equal"])
def test_rows_that_coincide_are_a_tie_with_a_finite_slope(vector, form, precision):
    anchors, labels = np.tile(vector, (B, 1)), np.arange(B) % 2
    value = evaluate(batch_hard_triplet, anchors, labels, form=form, precision=precision)
    slope = gradient(batch_hard_triplet, anchors, labels, form=form, precision=precision)
    np.testing.assert_allclose(value, oracle.batch_hard_triplet(anchors, labels, form), atol=1e-4)
    assert np.isfinite(slope).all()


@both_precisions
def test_distances_survive_features_far_from_the_origin(precision):
    anchors, labels = drawn(10)
    far = (anchors + 100.0).astype(np.float32)  # the same numbers in both precisions
    value = evaluate(batch_hard_triplet, far, labels, precision=precision)
    np.testing.assert_allclose(value, oracle.batch_hard_triplet(far, labels), rtol=0.01)
