"""Find files of a data set that look like images but are not read, because of their suffix or their folder."""

import itertools
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from data_pipelines.reading.folders import IMAGE_SUFFIXES, by_suffix, is_system_folder, shortlist
from data_pipelines.reading.printable import printable
from data_pipelines.reading.records import Dataset

_IMAGES = "ppm pgm pbm pnm pfm gif apng jfif jpe jp2 j2k jpx jxl jxr heic heif avif exr hdr tga pcx psd ico"
_SENSORS = "npy npz raw dng cr2 cr3 nef arw fits fit seq fff dcm"
UNREAD_SUFFIXES = frozenset(f".{name}" for name in f"{_IMAGES} {_SENSORS}".split())
"""Suffixes of images and pixel arrays that are not in `folders.IMAGE_SUFFIXES`."""

MOST = 20_000
"""At most so many files are looked at in a folder that is no data set, because it may be a whole disk."""


def passed_over_warnings(dataset: Dataset) -> tuple[str, ...]:
    """Warn of such files in the folders of the data set's splits, with their number and names: one warning a reason."""
    if not dataset.root.is_dir():
        return ()  # a table names its files itself
    read_folders = {
        image.path.parent
        for records in dataset.splits.values()
        for record in records
        for image in record.images
        if image.path.is_relative_to(dataset.root)
    }
    # The whole folder of a split is searched, because an identity may have only such files.
    tops = sorted({dataset.root / path.relative_to(dataset.root).parts[0] for path in read_folders})
    files = sorted(itertools.chain.from_iterable(map(_files, tops)))
    unread, deeper = list(filter(_has_unread_suffix, files)), list(_deeper(files, read_folders))
    warnings = []
    if unread:
        warnings.append(
            f"{dataset.name}: {len(unread)} files that look like images are passed over for their suffix "
            f"({by_suffix(unread)}); read are {', '.join(sorted(IMAGE_SUFFIXES))}: {_named(dataset, unread)}"
        )
    if deeper:
        warnings.append(
            f"{dataset.name}: {len(deeper)} images lie in folders below those that are read and are passed over; move "
            f"them up if they belong to the set: {_named(dataset, deeper)}"
        )
    return tuple(warnings)


def passed_over_hint(folder: Path) -> str:
    """Write a sentence for the error about a folder that is no data set, if it holds such files; otherwise ""."""
    files = list(itertools.islice(_files(folder), MOST)) if folder.is_dir() else []
    hint = ""
    if unread := list(filter(_has_unread_suffix, files)):
        hint += (
            f" Below {folder} are {len(unread)} files that look like images but are not read ({by_suffix(unread)}): "
            f"store them as PNG."
        )
    if joined := [path for path in files if "\\" in path.name]:
        hint += (
            f" {len(joined)} files have \\ in their names where folders should be, as {printable(joined[0].name)}: an "
            f"archive made on Windows was not unpacked as one; unpack it again with unzip."
        )
    return hint


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below `folder`, without hidden ones and those of the system."""
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_system_folder(name))
        yield from (Path(base, name) for name in names if not name.startswith("."))


def _has_unread_suffix(path: Path) -> bool:
    return path.suffix.lower() in UNREAD_SUFFIXES


def _deeper(files: Iterable[Path], read_folders: Collection[Path]) -> Iterator[Path]:
    """Yield the images in folders below those whose images are read."""
    below: dict[Path, bool] = {}
    for path in files:
        if path.parent not in below:
            below[path.parent] = path.parent not in read_folders and any(
                folder in read_folders for folder in path.parent.parents
            )
        if below[path.parent] and path.suffix.lower() in IMAGE_SUFFIXES:
            yield path


def _named(dataset: Dataset, paths: Sequence[Path]) -> str:
    return shortlist([path.relative_to(dataset.root).as_posix() for path in paths])
