"""Keep the images of a split in memory, in one mapped file, or in the shards while a run trains on them.

All three give the same bytes. Memory is the fastest, but is copied to each loader process. A mapped file is read once
into the system's cache, which all processes share, and it may be larger than memory. The shards need neither memory nor
a further file, but each read decompresses them.
"""

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from absl import logging

from data_pipelines.loading.free_memory import available_memory
from data_pipelines.reading.records import DataError
from data_pipelines.session.progress import track
from data_pipelines.storing.locks import exclusive
from data_pipelines.storing.prepared import PreparedSplit, StoredImages

Storage = Literal["auto", "memory", "mapped", "shards"]
Place = Literal["memory", "mapped", "shards"]


class MappedImages:
    """The triples of one split in an array on disk; a pickled copy does not contain the images, but maps the file."""

    def __init__(self, path: Path):
        self.path = path
        self._array = np.load(path, mmap_mode="r")

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, index: Any, /) -> np.ndarray:
        return self._array[index]

    def __reduce__(self):
        return MappedImages, (self.path,)


def store(split: PreparedSplit, storage: Storage, *, workers: int = 0) -> PreparedSplit:
    """Put the images of a split where `storage` says; "auto" chooses what fits, for so many loader processes.

    The mapped file is written beside the shards at its first use, whole or not at all.
    """
    images = split.images
    if not isinstance(images, StoredImages) or not len(split):
        return split
    num_bytes = len(split) * split[0].nbytes
    place = storage
    if place == "auto":
        room = _room_for_mapping(images, num_bytes)
        place = choose_place(num_bytes, workers=workers, memory=available_memory(), disk=room)
    if place == "memory":
        return split.in_memory()
    if place == "mapped":
        return replace(split, images=_mapped(split, images))
    return split


def choose_place(num_bytes: int, *, workers: int, memory: int, disk: int) -> Place:
    """Choose memory if all copies take at most half of `memory`, else a mapped file if `disk` has room, else shards.

    All sizes are in bytes. The limit is half, because the other domain and the model need memory too.
    """
    if num_bytes * (1 + workers) <= memory // 2:
        return "memory"
    return "mapped" if num_bytes <= disk else "shards"


def _mapped_file(images: StoredImages) -> Path:
    # The file is in the folder of the shards, so it is removed with them. Each choice of modalities has its own.
    chosen = "" if images.columns is None else "_" + "".join(map(str, images.columns))
    return images.directory / f"{images.split}{chosen}.npy"


def _room_for_mapping(images: StoredImages, num_bytes: int) -> int:
    """Compute how many bytes a mapped file may take, which is half of what is free.

    All bytes if the file exists already, and 0 if the folder cannot be written to.
    """
    if _mapped_file(images).exists():
        return num_bytes
    if not os.access(images.directory, os.W_OK):
        return 0
    return shutil.disk_usage(images.directory).free // 2


def _mapped(split: PreparedSplit, images: StoredImages) -> MappedImages:
    path = _mapped_file(images)
    if not _is_mapped(path, split):
        try:
            with exclusive(path.parent):
                if not _is_mapped(path, split):  # another process may have been first
                    _write_array(path, split)
        except OSError as error:
            raise DataError(
                f"{path}: cannot be written ({error.strerror}); free space, or set config.data.storage to shards"
            ) from error
    return MappedImages(path)


def _write_array(path: Path, split: PreparedSplit) -> None:
    partial = path.with_suffix(".partial")
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(split), *split[0].shape)}
    indices = track(range(len(split)), total=len(split), description=f"mapping {path.stem}", unit="triple")
    digest = hashlib.sha256()
    # Written and not mapped: a full disk under a mapping would end the process by a signal and not by an error.
    with partial.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for i in indices:
            file.write(content := split[i].tobytes())
            digest.update(content)
    partial.replace(path)
    _seal_of(path).write_text(json.dumps(_seal(path, split, digest.hexdigest())), encoding="utf-8")


def _is_mapped(path: Path, split: PreparedSplit) -> bool:
    """Tell whether the file holds the images of this split; a file that another process wrote is compared whole."""
    if not path.exists():
        return False
    try:
        array = np.load(path, mmap_mode="r")
        sealed = json.loads(_seal_of(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, EOFError):  # cut short, empty, or without a seal
        array, sealed = None, {}
    if array is not None and (array.dtype, array.shape) == (np.uint8, (len(split), *split[0].shape)):
        if sealed == _seal(path, split, sealed.get("digest")):
            return True
        # It was copied with other times, or overwritten; its content shows which.
        if sealed.get("fingerprints") == split.fingerprints and sealed.get("digest") == _digest_of(array):
            return True
    logging.warning("%s does not hold the images of the shards beside it; writing it anew", path)
    return False


def _seal(path: Path, split: PreparedSplit, digest: str | None) -> dict[str, Any]:
    status = path.stat()
    found = {"fingerprints": dict(split.fingerprints), "size": status.st_size, "modified": status.st_mtime_ns}
    return found | {"digest": digest}


def _seal_of(path: Path) -> Path:
    return path.with_suffix(".seal.json")


def _digest_of(array: np.ndarray) -> str:
    digest = hashlib.sha256()
    for triple in array:
        digest.update(triple.tobytes())
    return digest.hexdigest()
