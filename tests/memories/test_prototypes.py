import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from man_jax.memories.prototypes import Bank, class_prototypes, make_bank, move_bank, move_prototypes
from tests.oracles import prototypes as oracle
from tests.oracles.cases import masks, seeds, unit_normal
from tests.oracles.geometry import central_differences
from tests.oracles.precision import SINGLE, assert_close, assert_slope, both_precisions, evaluate, gradient

N, B, C, D, M = 12, 8, 5, 6, 3
FORMS = ["batch_mean", "sequential"]
WEIGHTS = ["softmax", "average"]


def drawn(seed: int, size: int):
    """Features, labels of which some are of no class, and a bank of which some classes are invalid."""
    rng = np.random.default_rng(seed)
    values, valid = unit_normal(rng, C, D), rng.random(C) < 0.7
    return unit_normal(rng, size, D), rng.integers(-1, C + 1, size), values * valid[:, None], valid


def tables(seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit features of the modalities and of their fusion."""
    rng = np.random.default_rng(seed)
    return unit_normal(rng, M, size, D), unit_normal(rng, size, M * D)


# --- making prototypes (Eq. 7, 8)


@both_precisions
@pytest.mark.parametrize(
    ("weights", "temperature"), [("average", 1.0), *(("softmax", t) for t in (1.0, 0.1, 0.005))]
)
def test_prototypes_are_the_weighted_class_means(weights, temperature, precision):
    features, labels, *_ = drawn(0, N)
    labels[labels == 2] = 3
    settings = {"num_classes": C, "weights": weights, "temperature": temperature}
    values, valid = evaluate(class_prototypes, features, labels, precision=precision, **settings)
    expected, has_samples = oracle.class_prototypes(features, labels, **settings)
    assert_close(values, expected, precision)
    np.testing.assert_array_equal(valid, has_samples)


@given(seeds, masks(N), st.sampled_from(WEIGHTS))
def test_a_mask_means_the_subset(seed, mask, weights):
    features, labels, *_ = drawn(seed, N)
    values, valid = evaluate(class_prototypes, features, labels, mask=mask, num_classes=C, weights=weights)
    expected, has_samples = oracle.class_prototypes(features[mask], labels[mask], C, weights)
    assert_close(values, expected)
    np.testing.assert_array_equal(valid, has_samples)


@pytest.mark.parametrize(("weights", "temperature"), [("average", 1.0), ("softmax", 1.0), ("softmax", 0.1)])
def test_prototypes_have_the_slope_of_their_formula(weights, temperature):
    features, labels, *_ = drawn(8, N)
    labels[labels == 2] = 3
    mask = np.arange(N) % 4 > 0
    settings = {"num_classes": C, "weights": weights, "temperature": temperature}

    def formula(features):
        return oracle.class_prototypes(features[mask], labels[mask], **settings)[0].sum()

    slope = gradient(class_prototypes, features, labels, mask=mask, **settings)
    assert_slope(slope, central_differences(formula, features))


@given(seeds)
def test_prototypes_do_not_depend_on_the_order_of_samples(seed):
    features, labels, *_ = drawn(seed, N)
    order = np.random.default_rng(seed).permutation(N)
    straight = evaluate(class_prototypes, features, labels, num_classes=C)
    shuffled = evaluate(class_prototypes, features[order], labels[order], num_classes=C)
    assert_close(shuffled[0], straight[0])


@given(seeds)
def test_repeating_every_sample_changes_no_prototype(seed):
    features, labels, *_ = drawn(seed, N)
    once = evaluate(class_prototypes, features, labels, num_classes=C)
    thrice = evaluate(class_prototypes, np.tile(features, (3, 1)), np.tile(labels, 3), num_classes=C)
    assert_close(thrice[0], once[0])


def test_a_class_of_one_sample_has_it_as_prototype():
    features = unit_normal(np.random.default_rng(1), N, D)
    values, _ = evaluate(class_prototypes, features, np.array([3] + [0] * (N - 1)), num_classes=C)
    assert_close(values[3], features[0])


def test_softmax_leans_away_from_an_outlier_of_the_class():
    rng = np.random.default_rng(2)
    close, outlier = np.tile(unit_normal(rng, 1, D), (N - 1, 1)), unit_normal(rng, 1, D)
    features, labels = np.concatenate([close, outlier]), np.zeros(N, int)
    weighted, _ = evaluate(class_prototypes, features, labels, num_classes=C, temperature=0.1)
    average, _ = evaluate(
        class_prototypes, features, labels, num_classes=C, weights="average", temperature=0.1
    )
    assert weighted[0] @ close[0] > average[0] @ close[0]


@both_precisions
def test_no_reliable_sample_leaves_every_class_invalid_and_zero(precision):
    features, labels, *_ = drawn(3, N)
    values, valid = evaluate(
        class_prototypes, features, labels, mask=np.zeros(N, bool), num_classes=C, precision=precision
    )
    assert not valid.any()
    np.testing.assert_array_equal(values, np.zeros((C, D)))


@both_precisions
@pytest.mark.parametrize(("weights", "temperature"), [("average", 1.0), ("softmax", 1.0), ("softmax", 0.005)])
@pytest.mark.parametrize("case", ["cancelling", "zero", "none reliable", "one sample"])
def test_no_class_has_a_prototype_or_a_slope_that_is_not_finite(case, weights, temperature, precision):
    features, labels, mask = np.zeros((N, D)), np.zeros(N, int), np.ones(N, bool)
    if case == "cancelling":
        features[0, 0], features[1, 0] = 1.0, -1.0
    if case == "one sample":
        features, labels = unit_normal(np.random.default_rng(4), N, D), np.arange(N) - 2
    if case == "none reliable":
        mask[:] = False
    settings = {"num_classes": C, "weights": weights, "temperature": temperature, "precision": precision}
    values, _ = evaluate(class_prototypes, features, labels, mask=mask, **settings)
    slope = gradient(class_prototypes, features, labels, mask=mask, **settings)
    assert np.isfinite(values).all()
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_bank_holds_the_prototypes_of_each_modality_and_of_the_fusion(weights):
    rng = np.random.default_rng(9)
    modal, fused = (table.astype(np.float32) for table in tables(9, N))
    labels, mask = rng.integers(-1, C, N), rng.random(N) < 0.6
    labels[mask & (labels == 3)] = 2
    kind = {"weights": weights, "temperature": 0.5}
    bank = make_bank(modal, fused, labels, num_classes=C, mask=mask, **kind)
    for actual, rows in zip([*bank.modal, bank.fused], [*modal, fused], strict=True):
        expected, valid = oracle.class_prototypes(rows[mask], labels[mask], C, **kind)
        assert_close(actual, expected, SINGLE)
        np.testing.assert_array_equal(bank.valid, valid)
    assert not bank.valid[3]


# --- moving them (Eq. 11)


@pytest.mark.parametrize("form", FORMS)
def test_a_bank_moves_in_each_modality_and_in_the_fusion_and_its_classes_stay_valid(form):
    (modal, fused), (values, fused_values) = tables(10, B), tables(11, C)
    _, labels, _, valid = drawn(10, B)
    assert 0 < valid.sum() < C
    mask = np.arange(B) % 3 > 0
    bank, settings = Bank(values, fused_values, valid), {"momentum": 0.5, "form": form}
    moved = evaluate(move_bank, bank, modal, fused, labels, mask=mask, **settings)
    befores, rows = [*values, fused_values], [*modal, fused]
    for after, before, features in zip([*moved.modal, moved.fused], befores, rows, strict=True):
        kept = (features[mask], labels[mask])
        assert_close(after, oracle.move_prototypes(before, valid, *kept, 0.5, form))
    np.testing.assert_array_equal(moved.valid, valid)


@both_precisions
@pytest.mark.parametrize("momentum", [0.99, 0.5])
@pytest.mark.parametrize("form", FORMS)
def test_prototypes_move_towards_their_class_in_the_batch(form, momentum, precision):
    features, labels, values, valid = drawn(5, B)
    settings = {"momentum": momentum, "form": form}
    moved = evaluate(move_prototypes, values, valid, features, labels, precision=precision, **settings)
    assert_close(moved, oracle.move_prototypes(values, valid, features, labels, **settings), precision)


@given(seeds, masks(B), st.sampled_from(FORMS))
def test_masked_rows_move_nothing(seed, mask, form):
    features, labels, values, valid = drawn(seed, B)
    moved = evaluate(move_prototypes, values, valid, features, labels, mask=mask, momentum=0.5, form=form)
    assert_close(moved, oracle.move_prototypes(values, valid, features[mask], labels[mask], 0.5, form))


@given(seeds)
def test_the_batch_mean_moves_alike_in_any_order(seed):
    features, labels, values, valid = drawn(seed, B)
    order = np.random.default_rng(seed).permutation(B)
    straight = evaluate(move_prototypes, values, valid, features, labels)
    shuffled = evaluate(move_prototypes, values, valid, features[order], labels[order])
    assert_close(shuffled, straight)


def test_the_sequential_form_does_depend_on_the_order():
    features, _, values, _ = drawn(6, B)
    valid, labels = np.ones(C, bool), np.zeros(B, int)
    settings = {"momentum": 0.5, "form": "sequential"}
    straight = evaluate(move_prototypes, values, valid, features, labels, **settings)
    reversed_ = evaluate(move_prototypes, values, valid, features[::-1], labels, **settings)
    assert np.abs(straight - reversed_).max() > 1e-2


@given(seeds, st.sampled_from(FORMS))
def test_momentum_one_changes_nothing(seed, form):
    features, labels, values, valid = drawn(seed, B)
    assert_close(evaluate(move_prototypes, values, valid, features, labels, momentum=1.0, form=form), values)


@given(seeds, st.sampled_from(FORMS))
def test_invalid_and_absent_classes_stay_exactly_as_they_are(seed, form):
    features, labels, values, valid = drawn(seed, B)
    moved = evaluate(move_prototypes, values, valid, features, labels, momentum=0.5, form=form)
    still = ~valid | ~np.isin(np.arange(C), labels)
    np.testing.assert_array_equal(moved[still], values[still])


@pytest.mark.parametrize(
    "mask", [np.ones(B, bool), np.arange(B) % 2 > 0, np.zeros(B, bool)], ids=["all", "half", "none"]
)
@pytest.mark.parametrize("form", FORMS)
def test_moved_prototypes_have_the_slope_of_their_step(form, mask):
    features, labels, values, valid = drawn(7, B)

    def formula(features):
        return oracle.move_prototypes(values, valid, features[mask], labels[mask], 0.5, form).sum()

    slope = gradient(
        move_prototypes, values, valid, features, labels, by=2, mask=mask, momentum=0.5, form=form
    )
    assert_slope(slope, central_differences(formula, features))


@both_precisions
@pytest.mark.parametrize("momentum", [0.99, 0.0])
@pytest.mark.parametrize("form", FORMS)
def test_zero_features_and_prototypes_have_a_finite_value_and_slope(form, momentum, precision):
    zeros = np.zeros((C, D)), np.ones(C, bool), np.zeros((B, D)), np.arange(B) % C
    settings = {"form": form, "momentum": momentum, "precision": precision}
    np.testing.assert_array_equal(evaluate(move_prototypes, *zeros, **settings), zeros[0])
    assert np.isfinite(gradient(move_prototypes, *zeros, by=2, **settings)).all()
