import threading
import time
from pathlib import Path

import numpy as np
import pytest

from data_pipelines.loading.loader import evaluation_batches, training_batches
from data_pipelines.reading.readers import wmveid863
from data_pipelines.storing import builders
from tests.data_pipelines.trees import write_picture, write_wmveid863

PLAN = np.array([[0, 1], [2, 3], [4, 0], [1, 1], [3, 2]], np.int32)


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> builders.PreparedSplit:
    """Five triples, each of a brightness of its own."""
    base: Path = tmp_path_factory.mktemp("loader")
    names = [f"0007/v1_n1_s001_{i:03d}.jpg" for i in range(5)]
    tree = write_wmveid863(base / "source", {"train": names})
    for i, name in enumerate(names):
        identity, file_name = name.split("/")
        write_picture(tree / "train" / identity / "vis" / file_name, (40 * i, 40 * i, 40 * i))
    return builders.load(builders.prepare(wmveid863.read(tree), base / "out", image_size=(8, 8))).train


def _bytes(batches) -> list[tuple[bytes, ...]]:
    return [tuple(np.asarray(batch[key]).tobytes() for key in sorted(batch)) for batch in batches]


def test_batches_follow_the_plan(split):
    batches = list(training_batches(split, PLAN))
    np.testing.assert_array_equal([batch["index"] for batch in batches], PLAN)
    for batch in batches:
        np.testing.assert_array_equal(batch["images"], [split[i] for i in batch["index"]])


def test_batches_are_uint8_images_and_int32_indices(split):
    batch = next(training_batches(split, PLAN))
    assert (batch["images"].shape, batch["images"].dtype) == ((2, 3, 8, 8, 3), np.uint8)
    assert (batch["index"].shape, batch["index"].dtype) == ((2,), np.int32)


@pytest.fixture(scope="module", params=[1, 2])
def from_workers(split, request) -> tuple[list[tuple[bytes, ...]], list[Path]]:
    """What 1 and 2 worker processes deliver, and the shared memory it came in (workers are slow to start)."""
    content, shared_memory = [], []
    for batch in training_batches(split, PLAN, workers=request.param):
        content += _bytes([batch])
        shared_memory += [Path("/dev/shm", array.shm.name) for array in batch.values()]  # grain's own arrays
        del batch
    return content, shared_memory


def test_workers_change_no_byte(split, from_workers):
    assert from_workers[0] == _bytes(training_batches(split, PLAN))


def test_workers_leave_no_shared_memory_behind(from_workers):
    deadline = time.monotonic() + 5  # grain frees it in a thread
    while (left := [path for path in from_workers[1] if path.exists()]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left


def test_start_skips_steps(split):
    assert _bytes(training_batches(split, PLAN, start=3)) == _bytes(training_batches(split, PLAN))[3:]


def test_skipped_steps_are_not_read(split, monkeypatch):
    read = []
    monkeypatch.setattr(type(split), "read", lambda _, indices: read.append(tuple(indices)) or indices)
    list(training_batches(split, PLAN, start=3))
    assert sorted(read) == [(1, 1), (3, 2)]


def test_a_finished_plan_has_no_batches_left(split):
    assert list(training_batches(split, PLAN, start=len(PLAN))) == []


@pytest.mark.parametrize("start", [-1, 6])
def test_a_start_outside_the_plan_is_an_error(split, start):
    with pytest.raises(ValueError, match="outside the plan of 5 steps"):
        next(training_batches(split, PLAN, start=start))


def test_memory_and_shards_give_the_same_batches(split):
    assert _bytes(training_batches(split.in_memory(), PLAN)) == _bytes(training_batches(split, PLAN))


def test_batches_are_read_ahead_of_the_step(split, monkeypatch):
    read = type(split).read
    third_is_read = threading.Event()

    def watched(self, indices):
        if tuple(indices) == tuple(PLAN[2]):
            third_is_read.set()
        return read(self, indices)

    monkeypatch.setattr(type(split), "read", watched)
    batches = training_batches(split, PLAN)
    next(batches)
    assert third_is_read.wait(timeout=10)


def test_abandoned_batches_stop_their_threads(split):
    before = set(threading.enumerate())
    batches = training_batches(split, np.tile(PLAN, (50, 1)))
    next(batches)
    started = set(threading.enumerate()) - before
    assert started
    batches.close()
    for thread in started:  # they are told to stop, and do so when they next look
        thread.join(timeout=10)
    assert not [thread for thread in started if thread.is_alive()]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 8])
def test_evaluation_counts_every_sample_once_in_batches_of_one_shape(split, batch_size):
    batches = list(evaluation_batches(split, batch_size))
    index = np.concatenate([batch["index"][batch["valid"]] for batch in batches])
    np.testing.assert_array_equal(index, np.arange(5))
    assert {batch["images"].shape for batch in batches} == {(batch_size, 3, 8, 8, 3)}


def test_padding_repeats_the_last_sample(split):
    *_, last = evaluation_batches(split, 3)
    assert last["index"].tolist() == [3, 4, 4]
    assert last["valid"].tolist() == [True, True, False]
    np.testing.assert_array_equal(last["images"][2], split[4])


def test_an_empty_evaluation_batch_is_an_error(split):
    with pytest.raises(ValueError, match="at least 1"):
        next(evaluation_batches(split, 0))
