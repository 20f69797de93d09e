"""Check before any work whether a preparation can be written: its place, the room on the disk, the image size."""

import errno
import os
import shutil
from pathlib import Path

from data_pipelines.reading.printable import is_utf8
from data_pipelines.reading.records import DataError, Dataset

MAX_PREPARED_PIXELS = 2**22
"""The most pixels of one prepared image; a batch of larger images fits into no memory."""


def check_image_size(image_size: tuple[int, int]) -> None:
    """Check an image size (H, W): DataError if it is too large, ValueError if it is not positive."""
    height, width = image_size
    if min(image_size) < 1:
        raise ValueError(f"image_size (H, W) must be positive, got {image_size}; MAN uses (256, 128)")
    if height * width > MAX_PREPARED_PIXELS:
        raise DataError(
            f"image_size is {height}x{width}, at most {MAX_PREPARED_PIXELS:,} pixels are prepared; MAN uses 256x128"
        )


def check_name(out_dir: Path) -> None:
    """Check that a prepared set can be found in a folder named `out_dir`; DataError if not."""
    if not is_utf8(out_dir):
        raise DataError(
            f"{out_dir}: its name, or the locale, is not UTF-8, which the shards' library needs; choose another folder"
        )
    try:
        out_dir.exists()
    except OSError as error:
        raise DataError(f"{out_dir}: cannot be written ({error.strerror}); choose another folder") from error


def check_place(out_dir: Path) -> None:
    """Check that `out_dir`, which need not exist, can be written to; DataError if not. Writes nothing."""
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
    """Compute the largest size of the prepared images in bytes: their size before compression."""
    num_triples = sum(map(len, dataset.splits.values()))
    return num_triples * len(dataset.modalities) * 3 * image_size[0] * image_size[1]


def room_warnings(dataset: Dataset, out_dir: Path, image_size: tuple[int, int]) -> tuple[str, ...]:
    """Warn if the disk of `out_dir` may be too small; () if there is room."""
    free, needed = shutil.disk_usage(_nearest(out_dir)).free, needed_bytes(dataset, image_size)
    if free >= needed:
        return ()
    return (
        f"{dataset.name}: {out_dir} has {free / 2**20:,.0f} MiB free, and up to {needed / 2**20:,.0f} MiB are needed, "
        f"less what compression saves; free space or choose another folder",
    )


def _nearest(folder: Path) -> Path:
    """Find the folder itself, or the first one above it that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())
