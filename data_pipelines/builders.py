"""Records -> TFDS builder -> array_record shards: every image decoded, verified and resized once.

The shards hold raw uint8 (array_record compresses them), so a random read costs no image decoding. Neither
writing nor reading needs TensorFlow.
"""

import contextlib
import fcntl
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from data_pipelines.checks import check_queries
from data_pipelines.datasets import read
from data_pipelines.images import DEEP_RANGE, check_deep_range, read_triple
from data_pipelines.parallel import map_in_order
from data_pipelines.prepared import PreparedDataset, PreparedSplit, load, read_table
from data_pipelines.progress import track
from data_pipelines.records import MODALITIES, Dataset, Record

__all__ = ["PreparedDataset", "PreparedSplit", "load", "prepare", "prepare_dataset"]


def prepare_dataset(
    name: str,
    root: Path | str,
    prepared_root: Path | str,
    image_size: tuple[int, int],
    deep_range: tuple[int, int] = DEEP_RANGE,
) -> PreparedDataset:
    """Read, check, prepare (once) and load the data set `name` at `image_size` = (H, W); log the warnings."""
    dataset = read(name, root)
    for warning in (*dataset.warnings, *check_queries(dataset)):
        logging.warning("%s", warning)
    out_dir = Path(prepared_root).expanduser()
    return load(prepare(dataset, out_dir, image_size=image_size, deep_range=deep_range))


def prepare(
    dataset: Dataset, out_dir: Path, *, image_size: tuple[int, int], deep_range: tuple[int, int] = DEEP_RANGE
) -> Path:
    """Write the data set at `image_size` = (H, W) below `out_dir`; return the folder to `load`.

    Images of more than 8 bits are scaled from `deep_range` = (low, high) to 0 … 255.

    Does nothing if that was done before from the same files (names, sizes and modification times); starts
    anew if they changed. What is written gets its final name only when it is complete, so an interruption
    leaves nothing that looks finished. An image that cannot be read or has the wrong size raises DataError.
    """
    height, width = image_size
    if min(height, width) < 1:
        raise ValueError(f"image_size (H, W) must be positive, got {image_size}; MAN uses (256, 128)")
    check_deep_range(deep_range)
    data_dir = preparation_folder(dataset, out_dir, image_size)
    data_dir.mkdir(parents=True, exist_ok=True)
    with _exclusive(data_dir):
        builder = Triples(dataset, image_size, deep_range, data_dir)
        prepared_dir = Path(builder.data_path)
        table = read_table(prepared_dir)
        if table is not None and table["fingerprint"] == builder.table["fingerprint"]:
            return prepared_dir
        if table is not None:
            logging.info(
                "the files of %s changed since %s was written; preparing anew", dataset.name, prepared_dir
            )
        _remove_leftovers(prepared_dir)
        # TFDS announces a download and its own counters; ours is the progress bar of `_generate_examples`.
        tfds.disable_progress_bar()
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
    return prepared_dir


def preparation_folder(dataset: Dataset, out_dir: Path, image_size: tuple[int, int]) -> Path:
    """Where the data set is prepared at this size: named by set, size and root, so that two roots do not collide."""
    height, width = image_size
    root = hashlib.sha256(os.fsencode(dataset.root.resolve())).hexdigest()[:8]
    return out_dir / f"{dataset.name}_{height}x{width}_{root}"


class Triples(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """The TFDS builder of a data set that has been read; its metadata is the table of the triples."""

    VERSION = tfds.core.Version("1.0.0")
    # There are no downloads, so TFDS need not look for checksums beside this file; it would do so through
    # importlib_resources, which it does not install on Python 3.9 and later.
    code_path = None

    def __init__(
        self, dataset: Dataset, image_size: tuple[int, int], deep_range: tuple[int, int], data_dir: Path
    ):
        self.dataset = dataset
        self.image_size = image_size
        self.deep_range = deep_range
        self.table = _table(dataset, image_size, deep_range)
        super().__init__(data_dir=data_dir, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        shape = (len(MODALITIES), *self.image_size, 3)
        features: dict[str, Any] = {
            "images": tfds.features.Tensor(
                shape=shape, dtype=np.uint8, encoding=tfds.features.Encoding.BYTES
            ),
            "pid": tfds.features.Scalar(np.int64),
            "camid": tfds.features.Scalar(np.int64),
            "scene": tfds.features.Scalar(np.int64),
            "name": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict(self.table),
            disable_shuffling=True,  # so that the i-th stored triple is the i-th record
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager  # nothing is downloaded
        return {split: self._generate_examples(split) for split in self.dataset.splits}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        records = self.dataset.splits[split]
        decoded = track(
            map_in_order(
                partial(read_triple, image_size=self.image_size, deep_range=self.deep_range), records
            ),
            total=len(records),
            description=f"preparing {self.dataset.name} {split}",
            unit="triple",
        )
        for i, (record, images) in enumerate(zip(records, decoded, strict=True)):
            yield i, {"images": images, **_row(record)}


def _row(record: Record) -> dict[str, int | str]:
    return {"pid": record.pid, "camid": record.camid, "scene": record.scene, "name": record.name}


def _table(dataset: Dataset, image_size: tuple[int, int], deep_range: tuple[int, int]) -> dict[str, Any]:
    rows = {split: [_row(record) for record in records] for split, records in dataset.splits.items()}
    columns = ("pid", "camid", "scene", "name")
    return {
        "name": dataset.name,
        "removal": dataset.removal,
        "image_size": list(image_size),
        "fingerprint": _fingerprint(dataset, deep_range),
        "splits": {split: {c: [row[c] for row in table] for c in columns} for split, table in rows.items()},
    }


def _fingerprint(dataset: Dataset, deep_range: tuple[int, int]) -> str:
    """A digest of what was read of the names and of every file's size and modification time."""
    digest = hashlib.sha256(json.dumps(deep_range).encode())
    for split, records in dataset.splits.items():
        for record in records:
            digest.update(json.dumps([split, *_row(record).values()]).encode())
            for image in record.images:
                status = image.path.stat()
                path = os.path.relpath(image.path, dataset.root)
                digest.update(json.dumps([path, image.box, status.st_size, status.st_mtime_ns]).encode())
    return digest.hexdigest()


def _remove_leftovers(prepared_dir: Path) -> None:
    """Remove an outdated preparation and what killed ones left; the caller holds the lock."""
    if prepared_dir.parent.is_dir():
        for path in prepared_dir.parent.iterdir():
            shutil.rmtree(path)


@contextlib.contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Let one process at a time in: the hosts of a run that share a file system prepare together."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file is closed, even by a kill
        yield
