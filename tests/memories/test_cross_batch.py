import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from man_jax.layout import Layout
from man_jax.memories.cross_batch import CrossBatch, empty_queue, enqueue, flush, queue_triplet
from man_jax.sharding import make_mesh
from tests.oracles import identity as oracle
from tests.oracles.cases import masks, seeds
from tests.oracles.geometry import central_differences
from tests.oracles.precision import SINGLE, assert_close, assert_slope, both_precisions, evaluate, gradient

S, B, D = 10, 4, 3
FORMS = ["hinge", "soft"]
FIRST_TARGET = 3  # labels 0-2 are source identities, 3-5 target clusters


def nothing_yet(capacity: int = S) -> CrossBatch:
    return jax.tree.map(np.asarray, empty_queue(capacity=capacity, dim=D))


def drawn(seed: int, size: int = B):
    """Features whose first number tells them apart, and labels."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(size, D)), rng.integers(0, 6, size)


def filled(seed: int) -> tuple[CrossBatch, list]:
    """A queue of S slots, two of them still empty, and the pairs it holds."""
    features, labels = drawn(seed, S - 2)
    queue = evaluate(enqueue, nothing_yet(), features, labels)
    return queue, list(zip(features, labels, strict=True))


def entries(queue: CrossBatch) -> list[tuple[float, int]]:
    """What is held, as (first number, label), in no particular order."""
    return sorted((float(row[0]), int(label)) for row, label in zip(*queue[:2], strict=True) if label >= 0)


def as_entries(pairs) -> list[tuple[float, int]]:
    return sorted((float(feature[0]), int(label)) for feature, label in pairs)


# --- keeping


def test_an_empty_queue_holds_nothing():
    queue = nothing_yet()
    assert entries(queue) == []
    assert (queue.features.shape, queue.labels.shape) == ((S, D), (S,))


@given(seeds, st.lists(masks(B), min_size=1, max_size=6))
def test_exactly_the_last_rows_written_are_kept(seed, batches):
    queue, written = nothing_yet(), []
    for number, mask in enumerate(batches):
        features, labels = drawn(seed + number)
        queue = evaluate(enqueue, queue, features, labels, mask=mask)
        written += [
            pair for pair, taken in zip(zip(features, labels, strict=True), mask, strict=True) if taken
        ]
        assert entries(queue) == as_entries(written[-S:])


@pytest.mark.parametrize("size", [S, S + 1, 2 * S + 3])
def test_of_a_batch_larger_than_the_queue_the_last_rows_are_kept(size):
    features, labels = drawn(0, size)
    queue = evaluate(enqueue, filled(1)[0], features, labels)
    assert entries(queue) == as_entries(list(zip(features, labels, strict=True))[-S:])


def test_of_a_masked_batch_larger_than_the_queue_the_last_taken_rows_are_kept():
    features, labels = drawn(2, 2 * S)
    mask = np.arange(2 * S) < S + 3
    queue = evaluate(enqueue, nothing_yet(), features, labels, mask=mask)
    assert entries(queue) == as_entries(list(zip(features, labels, strict=True))[3 : S + 3])


def test_a_row_is_kept_whole():
    features, labels = drawn(3)
    queue = evaluate(enqueue, nothing_yet(), features, labels)
    held = queue.features[queue.labels >= 0]
    np.testing.assert_array_equal(held[np.argsort(held[:, 0])], features[np.argsort(features[:, 0])])


def test_a_batch_with_no_row_taken_changes_nothing():
    queue, _ = filled(4)
    features, labels = drawn(5)
    after = evaluate(enqueue, queue, features, labels, mask=np.zeros(B, bool))
    for old, new in zip(queue, after, strict=True):
        np.testing.assert_array_equal(new, old)


def test_a_queue_on_eight_devices_writes_no_row_into_its_padding():
    spread = Layout(make_mesh())
    whole, divided = empty_queue(capacity=S, dim=D), empty_queue(capacity=S, dim=D, layout=spread)
    for seed in range(4):  # 16 rows into 10 places, which eight devices hold as 16
        features, labels = (jax.numpy.asarray(each) for each in drawn(seed))
        whole = enqueue(whole, features, labels)
        divided = jax.jit(enqueue, static_argnames="layout")(divided, features, labels, layout=spread)
    np.testing.assert_array_equal(divided.features[:S], whole.features)
    np.testing.assert_array_equal(divided.features[S:], 0)
    np.testing.assert_array_equal(divided.labels, whole.labels)


def test_no_gradient_passes_through_the_queue():
    queue, _ = filled(6)
    features, labels = drawn(7)
    slope = gradient(_held_after, features, queue, labels)
    np.testing.assert_array_equal(slope, np.zeros_like(features))


# --- forgetting


@given(seeds)
def test_flush_leaves_every_source_entry_and_no_target_entry(seed):
    queue, held = filled(seed)
    after = evaluate(flush, queue, first_label=FIRST_TARGET)
    assert entries(after) == as_entries([pair for pair in held if pair[1] < FIRST_TARGET])


@given(seeds, masks(3))
def test_flush_leaves_the_entries_of_clusters_whose_meaning_is_not_new(seed, renewed):
    queue, held = filled(seed)
    after = evaluate(flush, queue, first_label=FIRST_TARGET, renewed=renewed)
    kept = [pair for pair in held if pair[1] < FIRST_TARGET or not renewed[pair[1] - FIRST_TARGET]]
    assert entries(after) == as_entries(kept)


@given(seeds)
def test_a_flushed_queue_takes_new_rows_and_scores_only_what_it_holds(seed):
    queue, held = filled(seed)
    kept = [pair for pair in held if pair[1] < FIRST_TARGET]
    features, labels = drawn(seed + 1, 2)
    queue = evaluate(enqueue, evaluate(flush, queue, first_label=FIRST_TARGET), features, labels)
    anchors, own = drawn(seed + 2)
    pairs = kept + list(zip(features, labels, strict=True))  # two slots had never been used
    assert_close(evaluate(queue_triplet, anchors, own, queue), oracle.queue_triplet(anchors, own, pairs))


@given(seeds, st.lists(st.one_of(masks(B), st.none()), min_size=1, max_size=8))
def test_of_the_last_rows_written_those_are_held_that_no_flush_has_forgotten(seed, steps):
    """None is a re-clustering, a mask a batch."""
    queue, written = nothing_yet(), []
    for number, mask in enumerate(steps):
        if mask is None:
            queue = evaluate(flush, queue, first_label=FIRST_TARGET)
            # A forgotten row keeps its place in the ring until it is written over.
            written = [pair if pair and pair[1] < FIRST_TARGET else None for pair in written]
            assert all(label < FIRST_TARGET for _, label in entries(queue))
            continue
        features, labels = drawn(seed + number)
        queue = evaluate(enqueue, queue, features, labels, mask=mask)
        written += list(zip(features[mask], labels[mask], strict=True))
        assert entries(queue) == as_entries(pair for pair in written[-S:] if pair)


# --- the loss against it


@both_precisions
@pytest.mark.parametrize("form", FORMS)
def test_each_anchor_meets_its_hardest_entries(form, precision):
    queue, held = filled(8)
    anchors, labels = drawn(9)
    value = evaluate(queue_triplet, anchors, labels, queue, form=form, precision=precision)
    assert_close(value, oracle.queue_triplet(anchors, labels, held, form), precision)


@pytest.mark.parametrize("form", FORMS)
def test_queue_triplet_has_the_slope_of_its_formula(form):
    queue, held = filled(10)
    anchors, labels = drawn(11)
    expected = central_differences(lambda rows: oracle.queue_triplet(rows, labels, held, form), anchors)
    assert_slope(gradient(queue_triplet, anchors, labels, queue, form=form), expected)


@given(seeds, masks(B), st.sampled_from(FORMS))
def test_a_mask_means_the_subset_of_anchors(seed, mask, form):
    queue, held = filled(seed)
    anchors, labels = drawn(seed + 1)
    value = evaluate(queue_triplet, anchors, labels, queue, mask=mask, form=form)
    assert_close(value, oracle.queue_triplet(anchors[mask], labels[mask], held, form))


def test_the_margin_counts():
    queue, held = filled(12)
    anchors, labels = drawn(13)
    expected = oracle.queue_triplet(anchors, labels, held, "hinge", 2.0)
    assert_close(evaluate(queue_triplet, anchors, labels, queue, margin=2.0), expected)


def test_an_anchor_that_is_in_the_queue_may_meet_itself():
    features, labels = drawn(14)
    queue = evaluate(enqueue, nothing_yet(), features, labels)
    expected = oracle.queue_triplet(features, labels, list(zip(features, labels, strict=True)))
    np.testing.assert_allclose(evaluate(queue_triplet, features, labels, queue), expected, atol=1e-5)


@both_precisions
@pytest.mark.parametrize("form", FORMS)
def test_an_empty_queue_has_value_and_slope_zero(form, precision):
    anchors, labels = drawn(15)
    settings = {"form": form, "precision": precision}
    assert evaluate(queue_triplet, anchors, labels, nothing_yet(), **settings) == 0
    slope = gradient(queue_triplet, anchors, labels, nothing_yet(), **settings)
    np.testing.assert_array_equal(slope, np.zeros_like(anchors))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("labels", "mask"),
    [([0] * B, [True] * B), ([5] * B, [True] * B), ([0, 5] * (B // 2), [False] * B)],
    ids=["a single identity and empty slots", "an identity that is not held", "none reliable"],
)
def test_without_a_triplet_value_and_slope_are_zero(labels, mask, form):
    features, _ = drawn(16)
    queue = evaluate(enqueue, nothing_yet(), features, np.zeros(B, int), precision=SINGLE)
    arguments = features, np.array(labels), queue
    settings = {"mask": np.array(mask), "form": form, "precision": SINGLE}
    assert evaluate(queue_triplet, *arguments, **settings) == 0
    np.testing.assert_array_equal(gradient(queue_triplet, *arguments, **settings), np.zeros_like(features))


@pytest.mark.parametrize("form", FORMS)
def test_masked_anchors_have_no_slope_and_the_others_that_of_the_subset(form):
    queue, held = filled(20)
    anchors, labels = drawn(21)
    mask = np.arange(B) != 1
    slope = gradient(
        queue_triplet, np.where(mask[:, None], anchors, 40.0), labels, queue, mask=mask, form=form
    )

    def formula(rows):
        return oracle.queue_triplet(rows, labels[mask], held, form)

    np.testing.assert_array_equal(slope[~mask], 0)
    assert_slope(slope[mask], central_differences(formula, anchors[mask]))


def test_empty_slots_are_not_the_positives_of_an_anchor_without_a_label():
    queue, _ = filled(17)
    anchors, _ = drawn(18)
    assert evaluate(queue_triplet, anchors, np.full(B, -1), queue) == 0


@both_precisions
@pytest.mark.parametrize("form", FORMS)
def test_anchors_on_top_of_their_entries_have_a_finite_slope(form, precision):
    zeros, labels = np.zeros((B, D)), np.arange(B) % 2
    queue = evaluate(enqueue, nothing_yet(), zeros, labels, precision=precision)
    slope = gradient(queue_triplet, zeros, labels, queue, form=form, precision=precision)
    assert np.isfinite(slope).all()


def test_queue_keeps_single_precision():
    features, labels = drawn(19)
    queue = evaluate(enqueue, nothing_yet(), features, labels, precision=SINGLE)
    assert (queue.features.dtype, queue.labels.dtype) == (np.float32, np.int32)


def _held_after(features, queue, labels):
    return enqueue(queue, features, labels).features
