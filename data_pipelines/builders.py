"""A data set made ready for training: read, verified, written once, and found ready from then on."""

import contextlib
import hashlib
import io
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from absl import logging

from data_pipelines.checks import check_queries
from data_pipelines.datasets import read
from data_pipelines.disk import DiskError, refusal
from data_pipelines.examination import image_warnings
from data_pipelines.images import DEEP_RANGE, check_deep_range
from data_pipelines.locks import exclusive
from data_pipelines.prepared import (
    PreparedDataset,
    PreparedSplit,
    check_modalities,
    load,
    read_fingerprint,
    read_table,
)
from data_pipelines.records import Dataset
from data_pipelines.shards import Triples, fingerprint
from data_pipelines.verification import LEDGER, FileReport, raise_faults, verify

__all__ = ["PreparedDataset", "PreparedSplit", "load", "prepare", "prepare_dataset", "verify_once"]


def prepare_dataset(
    name: str,
    root: Path | str,
    prepared_root: Path | str,
    image_size: tuple[int, int],
    deep_range: tuple[int, int] = DEEP_RANGE,
    *,
    modalities: Sequence[str] | None = None,
) -> PreparedDataset:
    """Read, check, prepare (once) and load the data set `name` at `image_size` = (H, W); log the warnings.

    `modalities`: which images of a triple to load, of all that are prepared; None loads them all.
    """
    dataset = read(name, root)
    check_modalities(f"{dataset.name} in {dataset.root}", dataset.modalities, modalities)
    for warning in (*dataset.warnings, *check_queries(dataset)):
        logging.warning("%s", warning)
    out_dir = Path(prepared_root).expanduser()
    prepared_dir = prepare(dataset, out_dir, image_size=image_size, deep_range=deep_range)
    for warning in (read_table(prepared_dir) or {}).get("warnings", ()):
        logging.warning("%s", warning)
    return load(prepared_dir, modalities=modalities)


def prepare(
    dataset: Dataset, out_dir: Path, *, image_size: tuple[int, int], deep_range: tuple[int, int] = DEEP_RANGE
) -> Path:
    """Write the data set at `image_size` = (H, W) below `out_dir`; return the folder to `load`.

    Images of more than 8 bits are scaled from `deep_range` = (low, high) to 0 … 255.

    Does nothing if that was done before from the same files (names, sizes and modification times); starts
    anew if they changed. What is written gets its final name only when it is complete, so an interruption
    leaves nothing that looks finished. An image that cannot be read or has the wrong size raises DataError.
    """
    check_deep_range(deep_range)
    data_dir = preparation_folder(dataset, out_dir, image_size, deep_range)
    prepared_dir = data_dir / Triples.name / str(Triples.VERSION)
    if _is_finished(prepared_dir, dataset, deep_range):
        return prepared_dir  # without the lock: the disk may be one that is only read
    with _workshop(dataset, data_dir, image_size):
        if _is_finished(prepared_dir, dataset, deep_range):  # another process was first
            return prepared_dir
        if prepared_dir.exists():
            logging.info(
                "the files of %s changed since %s was written; preparing anew", dataset.name, prepared_dir
            )
        reports = verify(dataset, ledger=data_dir / LEDGER)
        raise_faults(dataset, reports)
        _remove_leftovers(prepared_dir)
        warnings = image_warnings(dataset, reports, deep_range)
        builder = Triples(dataset, image_size, deep_range, data_dir, warnings=warnings)
        # TFDS announces a download; ours is the progress bar of `_generate_examples`.
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
    return prepared_dir


def verify_once(
    dataset: Dataset, out_dir: Path, image_size: tuple[int, int], deep_range: tuple[int, int] = DEEP_RANGE
) -> list[FileReport]:
    """Verify ahead of `prepare`, which will find the work done; an interrupted pass is resumed."""
    data_dir = preparation_folder(dataset, out_dir, image_size, deep_range)
    with _workshop(dataset, data_dir, image_size):
        return verify(dataset, ledger=data_dir / LEDGER)


def _is_finished(prepared_dir: Path, dataset: Dataset, deep_range: tuple[int, int]) -> bool:
    stored = read_fingerprint(prepared_dir)
    return stored is not None and stored == fingerprint(dataset, deep_range)


@contextlib.contextmanager
def _workshop(dataset: Dataset, data_dir: Path, image_size: tuple[int, int]) -> Iterator[None]:
    """The folder of this preparation, for one process at a time; what the disk refuses becomes a DiskError."""
    if min(image_size) < 1:
        raise ValueError(f"image_size (H, W) must be positive, got {image_size}; MAN uses (256, 128)")
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with exclusive(data_dir):
            yield
    except (OSError, RuntimeError) as error:
        if (number := refusal(error)) is None:
            raise
        num_triples = sum(map(len, dataset.splits.values()))
        num_bytes = num_triples * len(dataset.modalities) * 3 * image_size[0] * image_size[1]
        raise DiskError(
            f"{data_dir}: cannot be written ({os.strerror(number)}); up to {num_bytes / 2**20:,.0f} MiB are needed. "
            f"Free space or choose another folder; nothing there looks finished, and the same command goes on"
        ) from error


def preparation_folder(
    dataset: Dataset, out_dir: Path, image_size: tuple[int, int], deep_range: tuple[int, int]
) -> Path:
    """Where this is prepared: named by set, size, root and range, so that runs which differ in them do not collide."""
    height, width = image_size
    source = os.fsencode(dataset.root.resolve())
    if tuple(deep_range) != DEEP_RANGE:
        source += f" deep_range={tuple(deep_range)}".encode()
    return out_dir / f"{dataset.name}_{height}x{width}_{hashlib.sha256(source).hexdigest()[:8]}"


def _remove_leftovers(prepared_dir: Path) -> None:
    """Remove an outdated preparation and what killed ones left; the caller holds the lock."""
    if prepared_dir.exists():
        # At once, so that a removal which is interrupted leaves nothing that looks finished.
        prepared_dir.rename(prepared_dir.with_name("outdated"))
    if prepared_dir.parent.is_dir():
        for path in prepared_dir.parent.iterdir():
            shutil.rmtree(path)
