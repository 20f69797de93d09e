import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from man_jax.memories.centres import cluster_centres, update_centres
from tests.oracles import memories as oracle
from tests.oracles.cases import masks, seeds, unit_normal
from tests.oracles.precision import assert_close, both_precisions, evaluate, gradient

N, B, C, D = 14, 8, 4, 5
FORMS = ["sequential", "hard"]
forms = st.sampled_from(FORMS)


def drawn(seed: int):
    rng = np.random.default_rng(seed)
    return unit_normal(rng, C, D), unit_normal(rng, B, D), rng.integers(-1, C, B), rng.random(C) < 0.8


@both_precisions
def test_centres_are_the_unit_means_of_the_clusters_that_have_samples(precision):
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(N, D)), rng.choice([-1, 0, 1, 3], N)
    centres, exists = evaluate(cluster_centres, features, labels, num_classes=C, precision=precision)
    expected, there = oracle.cluster_centres(features, labels, C)
    assert_close(centres, expected, precision)
    np.testing.assert_array_equal(exists, there)
    np.testing.assert_array_equal(exists, [True, True, False, True])


@given(seeds, forms, st.sampled_from([0.0, 0.1, 0.9]))
def test_centres_move_as_one_instance_after_the_other_says(seed, form, momentum):
    values, features, labels, exists = drawn(seed)
    moved = evaluate(update_centres, values, features, labels, exists=exists, momentum=momentum, form=form)
    assert_close(moved, oracle.update_centres(values, features, labels, exists, np.ones(B), momentum, form))


def test_all_classes_exist_all_rows_count_and_a_tenth_is_kept_unless_told():
    values, features, labels, _ = drawn(1)
    expected = oracle.update_centres(
        values, features, labels, np.ones(C, bool), np.ones(B), 0.1, "sequential"
    )
    assert_close(evaluate(update_centres, values, features, labels), expected)


@given(seeds, masks(B), forms)
def test_rows_of_no_weight_are_as_if_they_were_not_there(seed, mask, form):
    values, features, labels, exists = drawn(seed)
    weight = mask * np.random.default_rng(seed).uniform(0.1, 2, B)
    hidden = np.where(mask[:, None], features, -40.0)
    moved = evaluate(update_centres, values, hidden, labels, exists=exists, weight=weight, form=form)
    ones = np.ones(int(mask.sum()))
    assert_close(moved, oracle.update_centres(values, features[mask], labels[mask], exists, ones, 0.1, form))


@pytest.mark.parametrize("form", FORMS)
def test_classes_that_are_not_in_the_batch_or_do_not_exist_stay_bit_by_bit(form):
    values, features, _, _ = drawn(2)
    labels = np.array([0, 0, 1, 1, C, -1, 1, 0])
    exists = np.arange(C) != 1
    moved = evaluate(update_centres, values, features, labels, exists=exists, form=form)
    np.testing.assert_array_equal((moved != values).any(axis=1), [True, False, False, False])


@given(seeds)
def test_the_hard_form_does_not_depend_on_the_order_of_the_batch(seed):
    values, features, labels, _ = drawn(seed)
    order = np.random.default_rng(seed).permutation(B)
    moved = evaluate(update_centres, values, features[order], labels[order], form="hard")
    assert_close(moved, evaluate(update_centres, values, features, labels, form="hard"))


def test_of_several_instances_the_hard_form_takes_the_one_least_like_the_centre():
    values = np.eye(2)
    features = np.array([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6]])
    moved = evaluate(update_centres, values, features, np.zeros(3, int), momentum=0.0, form="hard")
    assert_close(moved, [[0.6, 0.8], [0.0, 1.0]])


@pytest.mark.parametrize("form", FORMS)
def test_moved_centres_are_unit_vectors_and_no_slope_passes_to_the_features(form):
    values, features, labels, _ = drawn(3)
    moved = evaluate(update_centres, values, features, labels, form=form)
    assert_close(np.linalg.norm(moved, axis=1), np.ones(C))
    slope = gradient(update_centres, values, features, labels, by=1, form=form)
    np.testing.assert_array_equal(slope, np.zeros((B, D)))


@pytest.mark.parametrize("form", FORMS)
def test_another_number_of_clusters_needs_no_other_program(form):
    traces = []

    @jax.jit
    def update(values, features, labels, exists):
        traces.append(1)
        return update_centres(values, features, labels, exists=exists, form=form)

    values, features, labels, _ = drawn(4)
    for k in range(1, C + 1):
        update(values, features, labels, np.arange(C) < k)
    assert len(traces) == 1


def test_another_form_is_refused():
    values, features, labels, _ = drawn(5)
    with pytest.raises(ValueError, match="form is 'mean'; choose sequential or hard"):
        update_centres(values, features, labels, form="mean")  # pyright: ignore[reportArgumentType]
