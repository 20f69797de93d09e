"""Write records as array_record shards with a builder of TFDS; every image is decoded and resized once.

The shards hold raw uint8 (array_record compresses them), so a random read decodes no image. Neither writing nor reading
needs TensorFlow. The shards are written one after the other, in the order of the records. TFDS's other builders keep a
whole split in memory to sort it, and write what exceeds 1,000 MiB to files with TensorFlow.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data_pipelines.checking.fingerprints import split_fingerprint
from data_pipelines.reading.records import DataError, Dataset, Record
from data_pipelines.session.parallel import map_in_order
from data_pipelines.session.progress import track
from data_pipelines.storing.images import FILTER, ImageSettings, read_triple

SHARD_BYTES = 64 << 20
"""Bytes of the images in a shard before compression, which are in memory while the shard is written."""

Example = tuple[int, dict[str, Any]]


class Triples(tfds.core.ShardBasedBuilder, skip_registration=True):
    """The TFDS builder of a data set that has been read; its metadata is the table of the triples."""

    VERSION = tfds.core.Version("1.1.0")  # 1.1.0: with the fingerprint of each split's content
    # There are no downloads, so TFDS need not look for checksums beside this file; it would do so through
    # importlib_resources, which it does not install on Python 3.9 and later.
    code_path = None

    def __init__(
        self,
        dataset: Dataset,
        settings: ImageSettings,
        data_dir: Path,
        *,
        digests: Mapping[Path, str],
        warnings: Sequence[str] = (),
    ):
        self.dataset = dataset
        self.settings = settings
        table = _table(dataset, settings, digests)
        self.table = table | {"warnings": list(warnings)}
        super().__init__(data_dir=data_dir, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        shape = (len(self.dataset.modalities), *self.settings.image_size, 3)
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
            disable_shuffling=True,  # the i-th stored triple is the i-th record
        )

    def _shard_iterators_per_split(
        self, dl_manager: Any
    ) -> Mapping[str, Sequence[Callable[[], Iterator[Example]]]]:
        del dl_manager  # nothing is downloaded
        return {split: self._shards(split) for split, records in self.dataset.splits.items() if records}

    def _shards(self, split: str) -> list[Callable[[], Iterator[Example]]]:
        # All shards of a split draw from one iterator, so that the threads decode on where a shard ends.
        examples = self._generate_examples(split)
        per_shard = examples_per_shard(len(self.dataset.modalities), self.settings.image_size)
        num_shards = -(-len(self.dataset.splits[split]) // per_shard)
        # The last one takes all that is left, because an iterator that is not exhausted keeps its threads.
        return [partial(islice, examples, per_shard)] * (num_shards - 1) + [lambda: examples]

    def _generate_examples(self, split: str) -> Iterator[Example]:
        records = self.dataset.splits[split]
        decoded = track(
            map_in_order(
                partial(
                    read_triple,
                    image_size=self.settings.image_size,
                    deep_range=self.settings.deep_range,
                    filter_name=self.settings.filter_of(split),
                ),
                records,
            ),
            total=len(records),
            description=f"preparing {self.dataset.name} {split}",
            unit="triple",
        )
        for i, (record, images) in enumerate(zip(records, decoded, strict=True)):
            yield i, {"images": images, **_row(record)}


def examples_per_shard(num_modalities: int, image_size: tuple[int, int]) -> int:
    """Compute how many triples of `image_size` = (H, W) fit into SHARD_BYTES; at least one."""
    height, width = image_size
    return max(1, SHARD_BYTES // (num_modalities * height * width * 3))


def _row(record: Record) -> dict[str, int | str]:
    return {"pid": record.pid, "camid": record.camid, "scene": record.scene, "name": record.name}


def _table(dataset: Dataset, settings: ImageSettings, digests: Mapping[Path, str]) -> dict[str, Any]:
    rows = {split: [_row(record) for record in records] for split, records in dataset.splits.items()}
    columns = ("pid", "camid", "scene", "name")
    return {
        "name": dataset.name,
        "removal": dataset.removal,
        "modalities": list(dataset.modalities),
        "image_size": list(settings.image_size),
        "train_filter": settings.train_filter,
        "fingerprint": fingerprint(dataset, settings),
        "fingerprints": {
            split: split_fingerprint(records, dataset.modalities, digests)
            for split, records in dataset.splits.items()
        },
        "splits": {split: {c: [row[c] for row in table] for c in columns} for split, table in rows.items()},
    }


def fingerprint(dataset: Dataset, settings: ImageSettings) -> str:
    """Compute a digest of the labels, of every file's size and modification time, and of the settings."""
    unusual = [settings.train_filter] if settings.train_filter != FILTER else []
    digest = hashlib.sha256(json.dumps([settings.deep_range, dataset.modalities, *unusual]).encode())
    for split, records in dataset.splits.items():
        for record in records:
            digest.update(json.dumps([split, *_row(record).values()]).encode())
            for image in record.images:
                status = _status(image.path)
                path = os.path.relpath(image.path, dataset.root)
                digest.update(json.dumps([path, image.box, status.st_size, status.st_mtime_ns]).encode())
    return digest.hexdigest()


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:  # a loop of links, a link to nothing, a folder that may not be entered
        raise DataError(f"{path}: cannot be read ({error.strerror}); restore or remove it") from error
