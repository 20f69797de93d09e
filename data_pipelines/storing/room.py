"""What can keep a preparation from being written, looked at before any work: its place, its room, its size."""

import errno
import os
import shutil
from pathlib import Path

from data_pipelines.reading.printable import is_utf8
from data_pipelines.reading.records import DataError, Dataset

MAX_PREPARED_PIXELS = 2**22
"""Of one prepared image; a batch of larger ones fits into no memory."""


def check_image_size(image_size: tuple[int, int]) -> None:
    """Raise DataError for a size (H, W) whose images are too large; ValueError if it is not positive."""
    height, width = image_size
    if min(image_size) < 1:
        raise ValueError(f"image_size (H, W) must be positive, got {image_size}; MAN uses (256, 128)")
    if height * width > MAX_PREPARED_PIXELS:
        raise DataError(
            f"image_size is {height}x{width}, at most {MAX_PREPARED_PIXELS:,} pixels are prepared; MAN uses 256x128"
        )


def check_name(out_dir: Path) -> None:
    """Raise DataError if `out_dir` has a name that no prepared set can be found under."""
    if not is_utf8(out_dir):
        raise DataError(
            f"{out_dir}: its name, or the locale, is not UTF-8, which the shards' library needs; choose another folder"
        )
    try:
        out_dir.exists()
    except OSError as error:
        raise DataError(f"{out_dir}: cannot be written ({error.strerror}); choose another folder") from error


def check_place(out_dir: Path) -> None:
    """Raise DataError if nothing can be written below `out_dir`, which need not exist; writes nothing."""
    nearest = _nearest(out_dir)
    refusal = 0
    if not nearest.is_dir():
        refusal = errno.ENOTDIR
    elif not os.access(nearest, os.W_OK | os.X_OK):
        refusal = errno.EACCES
    if refusal:
        raise DataError(
            f"{out_dir}: cannot be written ({nearest}: {os.strerror(refusal)}); choose another folder"
        )


def needed_bytes(dataset: Dataset, image_size: tuple[int, int]) -> int:
    """The most that the images take when they are prepared: what they are before compression."""
    num_triples = sum(map(len, dataset.splits.values()))
    return num_triples * len(dataset.modalities) * 3 * image_size[0] * image_size[1]


def room_warnings(dataset: Dataset, out_dir: Path, image_size: tuple[int, int]) -> tuple[str, ...]:
    """One warning if the disk of `out_dir` may be too small, or none."""
    free, needed = shutil.disk_usage(_nearest(out_dir)).free, needed_bytes(dataset, image_size)
    if free >= needed:
        return ()
    return (
        f"{dataset.name}: {out_dir} has {free / 2**20:,.0f} MiB free, and up to {needed / 2**20:,.0f} MiB are needed, "
        f"less what compression saves; free space or choose another folder",
    )


def _nearest(folder: Path) -> Path:
    """The folder itself, or the first above it that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())
