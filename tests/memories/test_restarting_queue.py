import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from man_jax.memories.cross_batch import CrossBatch, empty_queue
from man_jax.memories.restarting_queue import enqueue_restarting
from tests.oracles.cases import masks, seeds
from tests.oracles.precision import evaluate, gradient
from tests.oracles.released import Queue

S, B, D = 10, 4, 3


def nothing_yet(capacity: int = S) -> CrossBatch:
    return jax.tree.map(np.asarray, empty_queue(capacity=capacity, dim=D))


def drawn(seed: int, size: int = B):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(size, D)), rng.integers(0, 6, size)


@given(seeds, st.lists(masks(B), min_size=1, max_size=8))
def test_rows_are_kept_where_the_reference_code_keeps_them(seed, batches):
    queue, wanted = nothing_yet(), Queue([None] * S, 0)
    for number, mask in enumerate(batches):
        features, labels = drawn(seed + number)
        queue = evaluate(enqueue_restarting, queue, features, labels, mask=mask)
        taken = [pair for pair, kept in zip(zip(features, labels, strict=True), mask, strict=True) if kept]
        if taken:
            wanted.write(taken)
    assert int(queue.cursor) == wanted.place
    for feature, label, entry in zip(*queue[:2], wanted.entries, strict=True):
        assert label == (-1 if entry is None else entry[1])
        if entry is not None:
            np.testing.assert_allclose(feature, entry[0])


def test_rows_that_do_not_fit_overwrite_the_last_ones_and_the_next_begin_at_the_first():
    queue, everyone = nothing_yet(), np.ones(B, bool)
    for number in range(4):
        queue = evaluate(
            enqueue_restarting, queue, np.full((B, D), float(number)), np.full(B, number), mask=everyone
        )
    assert queue.labels.tolist() == [3, 3, 3, 3, 1, 1, 2, 2, 2, 2]
    assert int(queue.cursor) == B


@pytest.mark.parametrize("capacity", [1, B - 1])
def test_of_more_rows_than_there_is_room_the_last_are_kept(capacity):
    features, labels = drawn(0)
    queue = evaluate(enqueue_restarting, nothing_yet(capacity), features, labels, mask=np.ones(B, bool))
    np.testing.assert_array_equal(queue.labels, labels[-capacity:])


def test_no_gradient_passes():
    features, labels = drawn(1)
    mask = np.ones(B, bool)
    slope = gradient(
        lambda rows, queue, labels, mask: enqueue_restarting(queue, rows, labels, mask=mask).features,
        *(features, nothing_yet(), labels, mask),
    )
    assert not np.any(slope)
