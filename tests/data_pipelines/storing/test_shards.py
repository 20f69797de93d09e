"""Shards are written one after the other: in order, whatever their number, and never with a whole split in memory."""

import os
import weakref
from pathlib import Path

import numpy as np
import pytest
from tensorflow_datasets.core import shuffle

from data_pipelines.reading.readers import wmveid863
from data_pipelines.reading.records import Dataset
from data_pipelines.storing import builders, shards
from tests.data_pipelines.trees import write_picture, write_wmveid863

SIZE = (8, 8)
TRIPLE_BYTES = 3 * 8 * 8 * 3


def write_dataset(base: Path, num_triples: int) -> Dataset:
    """The training triples are of rising brightness."""
    names = [f"0001/v1_n1_s001_{i:03d}.jpg" for i in range(num_triples)]
    tree = write_wmveid863(base / "source", {"train": names})
    for i, name in enumerate(names):
        for modality in ("vis", "ni", "th"):
            write_picture(tree / "train/0001" / modality / Path(name).name, (3 * i, 3 * i, 3 * i))
    return wmveid863.read(tree)


@pytest.mark.parametrize(("num_triples", "num_shards"), [(1, 1), (6, 2), (7, 3)])
def test_a_split_of_several_shards_keeps_its_order(tmp_path, monkeypatch, num_triples, num_shards):
    monkeypatch.setattr(shards, "SHARD_BYTES", 3 * TRIPLE_BYTES + 1)
    prepared = builders.prepare(write_dataset(tmp_path, num_triples), tmp_path / "out", image_size=SIZE)
    train = builders.load(prepared).train
    assert len(list(prepared.glob("*-train.array_record-*"))) == num_shards
    assert train.names == [f"v1_n1_s001_{i:03d}.jpg" for i in range(num_triples)]
    brightness = train.read(np.arange(num_triples)).mean(axis=(1, 2, 3, 4))
    np.testing.assert_allclose(brightness, 3 * np.arange(num_triples), atol=1)


def test_a_split_is_not_kept_to_be_sorted(tmp_path, monkeypatch):
    # What TFDS would sort, it keeps in memory up to this limit, and then in files that need TensorFlow.
    monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", 1)
    prepared = builders.prepare(write_dataset(tmp_path, 3), tmp_path / "out", image_size=SIZE)
    assert len(builders.load(prepared).train) == 3


def test_no_more_than_a_shard_and_what_the_threads_hold_is_in_memory(tmp_path, monkeypatch):
    dataset, read_triple = write_dataset(tmp_path, 60), shards.read_triple
    monkeypatch.setattr(shards, "SHARD_BYTES", 3 * TRIPLE_BYTES)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    alive: set[int] = set()
    most = 0

    def counted(*args, **settings):
        nonlocal most
        triple = read_triple(*args, **settings)
        alive.add(number := id(triple))
        weakref.finalize(triple, alive.discard, number)
        most = max(most, len(alive))
        return triple

    monkeypatch.setattr(shards, "read_triple", counted)
    builders.prepare(dataset, tmp_path / "out", image_size=SIZE)
    assert 3 < most <= 3 + 4 * 2 + 2  # a shard, the queue, and what goes from one to the other


def test_a_triple_that_is_larger_than_a_shard_has_one_of_its_own():
    assert shards.examples_per_shard(3, (256, 128)) == 227
    assert shards.examples_per_shard(3, (8192, 8192)) == 1
