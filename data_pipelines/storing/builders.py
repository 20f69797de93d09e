"""Prepare a data set for training: it is read, verified and written once, and found ready from then on."""

import contextlib
import hashlib
import io
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from absl import logging

from data_pipelines.checking.checks import check_queries, gathered_warnings, judged_by
from data_pipelines.checking.contents import FILE as CONTENTS_FILE
from data_pipelines.checking.contents import write_contents
from data_pipelines.checking.examination import image_warnings, name_option
from data_pipelines.checking.verification import LEDGER, FileReport, raise_faults, verify
from data_pipelines.reading.datasets import read
from data_pipelines.reading.folders import shortlist
from data_pipelines.reading.records import DataError, Dataset, Removal
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

    `train_filter`: the one of `images.FILTERS` by which training images are resized; query and gallery are always
    resized by `images.FILTER`. `modalities`: which images of a triple to load; None loads all that are prepared.
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
    removal: Removal | None = None,
) -> PreparedDataset:
    """Do what `prepare_dataset` does for a data set that is already read.

    `deep_range_option` is the name that `deep_range` has in advice to the user. With `removal` the result has this rule
    instead of the data set's own, which is what is stored.
    """
    check_modalities(f"{dataset.name} in {dataset.root}", dataset.modalities, modalities)
    out_dir = Path(prepared_root).absolute()
    with gathered_warnings(dataset.warnings) as warnings:
        warnings += check_queries(judged_by(dataset, removal or dataset.removal))
    for warning in (*warnings, *place_warnings(dataset, out_dir, settings)):
        logging.warning("%s", warning)
    prepared_dir = prepare_with(dataset, out_dir, settings)
    for warning in (read_table(prepared_dir) or {}).get("warnings", ()):
        logging.warning("%s", name_option(warning, deep_range_option))
    data = load(prepared_dir, modalities=modalities)
    return data if removal is None else data.judged_by(removal)


def prepare(
    dataset: Dataset,
    out_dir: Path,
    *,
    image_size: tuple[int, int],
    deep_range: tuple[int, int] = DEEP_RANGE,
    train_filter: str = FILTER,
) -> Path:
    """Do what `prepare_with` does, with the settings given one by one."""
    return prepare_with(dataset, out_dir, ImageSettings(image_size, deep_range, train_filter))


def prepare_with(dataset: Dataset, out_dir: Path, settings: ImageSettings) -> Path:
    """Write the data set with the `settings` of its images into a folder in `out_dir`; return the folder to `load`.

    It does nothing if that was done before from the same files (names, sizes and modification times), and starts
    again if they changed. The folder gets its final name only when it is complete, so an interruption leaves nothing
    that looks finished. Raises DataError if an image cannot be read or has the wrong size, or if a file changes
    meanwhile.
    """
    check_deep_range(settings.deep_range)
    check_image_size(settings.image_size)
    check_name(out_dir)
    data_dir = preparation_folder(dataset, out_dir, settings)
    prepared_dir = data_dir / Triples.name / str(Triples.VERSION)
    if _is_finished(prepared_dir, dataset, settings):
        return prepared_dir  # without the lock: the disk may be one that is only read
    with _workshop(dataset, data_dir, settings.image_size):
        # Another process may have prepared the set meanwhile.
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
        # Written before the shards, whose final name means that everything is there.
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
    """Check that `prepare` can write into `out_dir`: DataError if it cannot, a warning if there is little room.

    If the set is prepared there already, there is no warning.
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
    """Verify all files before `prepare`, which then finds this work done; an interrupted pass is resumed."""
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
    """Open the folder of this preparation for one process at a time; DiskError if the disk refuses."""
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
    """Name the folder of a preparation by set, size, root, range and filter, so that different ones do not collide."""
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
    """Remove an outdated preparation and the leftovers of killed ones; the caller must hold the lock."""
    if prepared_dir.exists():
        # Renamed first, so that an interrupted removal leaves nothing that looks finished.
        prepared_dir.rename(prepared_dir.with_name("outdated"))
    if prepared_dir.parent.is_dir():
        for path in prepared_dir.parent.iterdir():
            shutil.rmtree(path)
