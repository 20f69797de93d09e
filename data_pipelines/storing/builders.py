"""A data set made ready for training: read, verified, written once, and found ready from then on."""

import contextlib
import hashlib
import io
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from absl import logging

from data_pipelines.checking.checks import check_queries, gathered_warnings
from data_pipelines.checking.contents import FILE as CONTENTS_FILE
from data_pipelines.checking.contents import write_contents
from data_pipelines.checking.examination import image_warnings, name_option
from data_pipelines.checking.verification import LEDGER, FileReport, raise_faults, verify
from data_pipelines.reading.datasets import read
from data_pipelines.reading.folders import shortlist
from data_pipelines.reading.records import DataError, Dataset
from data_pipelines.session.disk import DiskError, refusal
from data_pipelines.storing.images import DEEP_RANGE, FILTER, ImageSettings, check_deep_range
from data_pipelines.storing.locks import exclusive
from data_pipelines.storing.prepared import (
    PreparedDataset,
    PreparedSplit,
    check_modalities,
    load,
    read_description,
    read_table,
)
from data_pipelines.storing.room import check_image_size, check_name, check_place, needed_bytes, room_warnings
from data_pipelines.storing.shards import Triples, fingerprint

__all__ = [
    "PreparedDataset",
    "PreparedSplit",
    "load",
    "place_warnings",
    "prepare",
    "prepare_dataset",
    "prepare_read",
    "prepare_with",
    "verify_once",
]


def prepare_dataset(
    name: str,
    root: Path | str,
    prepared_root: Path | str,
    image_size: tuple[int, int],
    deep_range: tuple[int, int] = DEEP_RANGE,
    *,
    train_filter: str = FILTER,
    modalities: Sequence[str] | None = None,
) -> PreparedDataset:
    """Read, check, prepare (once) and load the data set `name` at `image_size` = (H, W); log the warnings.

    `train_filter`: by which of `images.FILTERS` the images of train are resized; those of query and gallery are
    resized by `images.FILTER` always. `modalities`: which images of a triple to load, of all that are prepared; None
    loads them all.
    """
    settings = ImageSettings(image_size, deep_range, train_filter)
    return prepare_read(read(name, root), prepared_root, settings, modalities=modalities)


def prepare_read(
    dataset: Dataset,
    prepared_root: Path | str,
    settings: ImageSettings,
    *,
    modalities: Sequence[str] | None = None,
    deep_range_option: str = "deep_range",
) -> PreparedDataset:
    """As `prepare_dataset`, of a data set that has been read; `deep_range_option` is its name in advice to the user."""
    check_modalities(f"{dataset.name} in {dataset.root}", dataset.modalities, modalities)
    out_dir = Path(prepared_root).absolute()
    with gathered_warnings(dataset.warnings) as warnings:
        warnings += check_queries(dataset)
    for warning in (*warnings, *place_warnings(dataset, out_dir, settings)):
        logging.warning("%s", warning)
    prepared_dir = prepare_with(dataset, out_dir, settings)
    for warning in (read_table(prepared_dir) or {}).get("warnings", ()):
        logging.warning("%s", name_option(warning, deep_range_option))
    return load(prepared_dir, modalities=modalities)


def prepare(
    dataset: Dataset,
    out_dir: Path,
    *,
    image_size: tuple[int, int],
    deep_range: tuple[int, int] = DEEP_RANGE,
    train_filter: str = FILTER,
) -> Path:
    """As `prepare_with`, of settings one by one."""
    return prepare_with(dataset, out_dir, ImageSettings(image_size, deep_range, train_filter))


def prepare_with(dataset: Dataset, out_dir: Path, settings: ImageSettings) -> Path:
    """Write the data set by the `settings` of its images below `out_dir`; return the folder to `load`.

    Does nothing if that was done before from the same files (names, sizes and modification times); starts
    anew if they changed. What is written gets its final name only when it is complete, so an interruption
    leaves nothing that looks finished. An image that cannot be read or has the wrong size raises DataError, and
    so do files that change meanwhile.
    """
    check_deep_range(settings.deep_range)
    check_image_size(settings.image_size)
    check_name(out_dir)
    data_dir = preparation_folder(dataset, out_dir, settings)
    prepared_dir = data_dir / Triples.name / str(Triples.VERSION)
    if _is_finished(prepared_dir, dataset, settings):
        return prepared_dir  # without the lock: the disk may be one that is only read
    with _workshop(dataset, data_dir, settings.image_size):
        # Another process may have been first.
        if _is_finished(prepared_dir, dataset, settings):
            return prepared_dir
        _say_why_anew(prepared_dir, dataset)
        reports = verify(dataset, ledger=data_dir / LEDGER, deep_range=settings.deep_range)
        raise_faults(dataset, reports)
        _remove_leftovers(prepared_dir)
        builder = Triples(
            dataset,
            settings,
            data_dir,
            digests={report.path: report.digest for report in reports},
            warnings=image_warnings(dataset, reports, settings.deep_range),
        )
        # Before the shards, whose name says that all is there.
        found_by = fingerprint(dataset, settings)
        write_contents(data_dir / CONTENTS_FILE, dataset, reports, found_by)
        # TFDS announces a download; ours is the progress bar of `_generate_examples`.
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
        if changed := [report.path for report in reports if _has_changed(report)]:
            _remove_leftovers(prepared_dir)
            raise DataError(
                f"{dataset.name}: {len(changed)} files changed while they were prepared: {shortlist(changed)}; start "
                f"again when nothing writes to them"
            )
    return prepared_dir


def place_warnings(dataset: Dataset, out_dir: Path, settings: ImageSettings) -> tuple[str, ...]:
    """What may keep `prepare` from writing below `out_dir`: DataError if that is certain, a warning of little room.

    Nothing is said of a set that is prepared there already.
    """
    check_image_size(settings.image_size)
    check_name(out_dir)
    data_dir = preparation_folder(dataset, out_dir, settings)
    prepared_dir = data_dir / Triples.name / str(Triples.VERSION)
    if _is_finished(prepared_dir, dataset, settings):
        return ()
    check_place(out_dir)
    return room_warnings(dataset, out_dir, settings.image_size)


def verify_once(dataset: Dataset, out_dir: Path, settings: ImageSettings) -> list[FileReport]:
    """Verify ahead of `prepare`, which will find the work done; an interrupted pass is resumed."""
    check_image_size(settings.image_size)
    check_name(out_dir)
    data_dir = preparation_folder(dataset, out_dir, settings)
    with _workshop(dataset, data_dir, settings.image_size):
        return verify(dataset, ledger=data_dir / LEDGER, deep_range=settings.deep_range)


def _is_finished(prepared_dir: Path, dataset: Dataset, settings: ImageSettings) -> bool:
    try:
        wanted = (dataset.name, tuple(settings.image_size), fingerprint(dataset, settings))
    except DataError:
        return False  # a file is gone; verifying names all that are
    return read_description(prepared_dir) == wanted


@contextlib.contextmanager
def _workshop(dataset: Dataset, data_dir: Path, image_size: tuple[int, int]) -> Iterator[None]:
    """The folder of this preparation, for one process at a time; what the disk refuses becomes a DiskError."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with exclusive(data_dir):
            yield
    except (OSError, RuntimeError) as error:
        if (number := refusal(error)) is None:
            raise
        num_bytes = needed_bytes(dataset, image_size)
        raise DiskError(
            f"{data_dir}: cannot be written ({os.strerror(number)}); up to {num_bytes / 2**20:,.0f} MiB are needed. "
            f"Free space or choose another folder; nothing there looks finished, and the same command goes on"
        ) from error


def _has_changed(report: FileReport) -> bool:
    try:
        status = report.path.stat()
    except OSError:
        return True
    return (status.st_size, status.st_mtime_ns) != (report.size, report.modified)


def preparation_folder(dataset: Dataset, out_dir: Path, settings: ImageSettings) -> Path:
    """Where this is prepared: named by set, size, root, range and filter, so that runs which differ do not collide."""
    height, width = settings.image_size
    told = os.fsencode(dataset.root.resolve())
    if tuple(settings.deep_range) != DEEP_RANGE:
        told += f" deep_range={tuple(settings.deep_range)}".encode()
    if settings.train_filter != FILTER:
        told += f" train_filter={settings.train_filter}".encode()
    return out_dir / f"{dataset.name}_{height}x{width}_{hashlib.sha256(told).hexdigest()[:8]}"


def _say_why_anew(prepared_dir: Path, dataset: Dataset) -> None:
    if prepared_dir.exists():
        logging.info(
            "%s was written from other files than those of %s now; preparing anew", prepared_dir, dataset.name
        )
    elif older := sorted(path.name for path in prepared_dir.parent.glob("[0-9]*")):
        logging.info(
            "%s is of the older form %s, which has no fingerprint of its content; preparing %s anew as %s",
            *(prepared_dir.parent, older[-1], dataset.name, prepared_dir.name),
        )


def _remove_leftovers(prepared_dir: Path) -> None:
    """Remove an outdated preparation and what killed ones left; the caller holds the lock."""
    if prepared_dir.exists():
        # At once, so that a removal which is interrupted leaves nothing that looks finished.
        prepared_dir.rename(prepared_dir.with_name("outdated"))
    if prepared_dir.parent.is_dir():
        for path in prepared_dir.parent.iterdir():
            shutil.rmtree(path)
