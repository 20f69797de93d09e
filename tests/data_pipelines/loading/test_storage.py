"""Memory, a mapped file and the shards give the same bytes; which of them is taken follows from what fits."""

import errno
import os
import pickle
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from data_pipelines.loading import storage
from data_pipelines.loading.loader import training_batches
from data_pipelines.loading.sampler import identity_plan
from data_pipelines.loading.storage import MappedImages, choose_place, store
from data_pipelines.reading.readers import wmveid863
from data_pipelines.reading.records import DataError
from data_pipelines.storing import builders
from data_pipelines.storing.prepared import PreparedSplit, StoredImages
from tests.data_pipelines.trees import write_picture, write_wmveid863
from tests.engine.splits import new_split

PLACES = ("memory", "mapped", "shards")
GIB = 2**30


@pytest.fixture
def split(tmp_path) -> PreparedSplit:
    """Six triples of three identities, each of a brightness of its own."""
    names = [f"{i // 2:04d}/v1_n1_s001_{i:03d}.jpg" for i in range(6)]
    tree = write_wmveid863(tmp_path / "source", {"train": names})
    for i, name in enumerate(names):
        identity, file_name = name.split("/")
        write_picture(tree / "train" / identity / "vis" / file_name, (40 * i, 40 * i, 40 * i))
    dataset = wmveid863.read(tree)
    return builders.load(builders.prepare(dataset, tmp_path / "out", image_size=(8, 8))).train


def mapped_file(split: PreparedSplit) -> Path:
    assert isinstance(split.images, StoredImages)
    return split.images.directory / "train.npy"


@pytest.mark.parametrize("place", PLACES)
def test_every_place_holds_the_same_bytes(split, place):
    stored = store(split, place)
    indices = np.array([3, 0, 3, len(split) - 1])
    np.testing.assert_array_equal(stored.read(indices), [split[int(i)] for i in indices])
    np.testing.assert_array_equal(stored.pids, split.pids)
    assert stored.read(indices).flags.writeable


@pytest.mark.parametrize("place", PLACES)
def test_chosen_modalities_are_those_columns_of_all(split, place):
    everything = store(split, place)  # so that a mapped file of all is there already
    folder = split.images.directory
    for modalities, columns in (("N",), [1]), (("R", "T"), [0, 2]), (("R", "N", "T"), [0, 1, 2]):
        chosen = store(builders.load(folder, modalities=modalities).train, place)
        np.testing.assert_array_equal(chosen.read(np.arange(6)), everything.read(np.arange(6))[:, columns])


def batches(split: PreparedSplit, workers: int) -> list[tuple[bytes, bytes]]:
    plan = identity_plan(split.pids, num_steps=4, identities=2, instances=2, seed=3, epoch=1, stream="source")
    found = training_batches(split, plan, workers=workers)
    return [(np.asarray(b["index"]).tobytes(), np.asarray(b["images"]).tobytes()) for b in found]


@pytest.mark.parametrize(("place", "workers"), [("memory", 0), ("mapped", 0), ("mapped", 2), ("shards", 1)])
def test_plans_and_batches_depend_on_neither_place_nor_workers(split, place, workers):
    assert batches(store(split, place), workers) == batches(split, 0)


def test_a_mapped_split_is_pickled_without_its_images(tmp_path):
    large = tmp_path / "train.npy"
    np.save(large, np.arange(3 * 4 * 4 * 3 * 500, dtype=np.uint8).reshape(500, 3, 4, 4, 3))
    images = MappedImages(large)
    pickled = pickle.dumps(images)
    assert len(pickled) < 500
    np.testing.assert_array_equal(pickle.loads(pickled)[499], images[499])


def test_the_mapped_file_is_written_once(split, monkeypatch):
    store(split, "mapped")
    monkeypatch.setattr(storage, "_write_array", lambda *_: pytest.fail("written again"))
    store(split, "mapped")


def test_an_interrupted_mapping_leaves_nothing_that_looks_finished(split, monkeypatch):
    def interrupted(iterable, **_):
        for i in iterable:
            if i == 3:
                raise KeyboardInterrupt
            yield i

    with monkeypatch.context() as patch:
        patch.setattr(storage, "track", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store(split, "mapped")
    assert not mapped_file(split).exists()
    np.testing.assert_array_equal(store(split, "mapped")[5], split[5])


def test_a_changed_source_is_mapped_anew(split, tmp_path):
    store(split, "mapped")
    write_picture(tmp_path / "source/train/0000/vis/v1_n1_s001_000.jpg", (255, 255, 255), size=(41, 24))
    dataset = wmveid863.read(tmp_path / "source")
    again = builders.load(builders.prepare(dataset, tmp_path / "out", image_size=(8, 8))).train
    assert store(again, "mapped")[0][0].min() > 250


Usage = namedtuple("Usage", "total used free")


def test_a_disk_that_is_full_is_named_with_the_key(split, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", fail)
    with pytest.raises(
        DataError, match=r"train\.npy: cannot be written \(No space.*config\.data\.storage to shards"
    ):
        store(split, "mapped")
    assert not mapped_file(split).exists()


def test_what_may_not_be_written_is_streamed(split, monkeypatch):
    monkeypatch.setattr(storage, "available_memory", lambda: 0)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert store(split, "auto") is split


@pytest.mark.parametrize(
    ("num_bytes", "workers", "memory", "disk", "place"),
    [
        (4 * GIB, 0, 8 * GIB, 0, "memory"),
        (4 * GIB, 0, 8 * GIB - 2, 4 * GIB, "mapped"),
        (4 * GIB, 1, 8 * GIB, 4 * GIB, "mapped"),
        (4 * GIB, 1, 16 * GIB, 0, "memory"),
        (4 * GIB, 0, 4 * GIB, 4 * GIB - 1, "shards"),
    ],
)
def test_what_fits_decides(num_bytes, workers, memory, disk, place):
    assert choose_place(num_bytes, workers=workers, memory=memory, disk=disk) == place


@pytest.mark.parametrize(
    ("memory", "free", "kind"), [(10**9, 10**9, np.ndarray), (0, 10**9, MappedImages), (0, 0, StoredImages)]
)
def test_auto_takes_what_fits(split, monkeypatch, memory, free, kind):
    monkeypatch.setattr(storage, "available_memory", lambda: memory)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, free))
    assert isinstance(store(split, "auto").images, kind)


def test_a_split_that_lies_elsewhere_is_left_alone():
    split = new_split([1, 2])
    assert store(split, "mapped") is split
