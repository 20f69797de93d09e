"""Files beside the images of a data set in folders that look like images too, but have a suffix that is not read."""

import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from data_pipelines.folders import IMAGE_SUFFIXES, shortlist
from data_pipelines.records import Dataset

_IMAGES = "ppm pgm pbm pnm pfm gif apng jfif jpe jp2 j2k jpx jxl jxr heic heif avif exr hdr tga pcx psd ico"
_SENSORS = "npy npz raw dng cr2 cr3 nef arw fits fit seq fff dcm"
UNREAD_SUFFIXES = frozenset(f".{name}" for name in f"{_IMAGES} {_SENSORS}".split())
"""Of images and arrays of pixels, but none of `folders.IMAGE_SUFFIXES`."""

MOST = 20_000
"""Files that are looked at below a folder that could not be read as a data set, which may be a whole disk."""


def passed_over_warnings(dataset: Dataset) -> tuple[str, ...]:
    """One warning that counts and names such files in the folders of the data set's splits, or none."""
    if not dataset.root.is_dir():
        return ()  # a table names its files itself
    # The folder of a split, not only those of its images: an identity may have nothing but such files.
    tops = {
        dataset.root / image.path.relative_to(dataset.root).parts[0]
        for records in dataset.splits.values()
        for record in records
        for image in record.images
        if image.path.is_relative_to(dataset.root)
    }
    found = sorted(itertools.chain.from_iterable(map(_unread, sorted(tops))))
    if not found:
        return ()
    names = [path.relative_to(dataset.root).as_posix() for path in found]
    return (
        f"{dataset.name}: {len(found)} files that look like images are passed over for their suffix "
        f"({_by_suffix(found)}); read are {', '.join(sorted(IMAGE_SUFFIXES))}: {shortlist(names)}",
    )


def passed_over_hint(folder: Path) -> str:
    """A sentence for the error on a folder that is no data set, if what it holds are such files; or empty."""
    found = list(_unread(folder, MOST)) if folder.is_dir() else []
    if not found:
        return ""
    return (
        f" Below {folder} are {len(found)} files that look like images but are not read ({_by_suffix(found)}): store "
        f"them as PNG."
    )


def _by_suffix(paths: Iterable[Path]) -> str:
    counts = Counter(path.suffix.lower() for path in paths)
    return ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common())


def _unread(folder: Path, most: int | None = None) -> Iterator[Path]:
    files = (Path(base, name) for base, _, names in os.walk(folder) for name in names)
    for path in itertools.islice(files, most):
        if path.suffix.lower() in UNREAD_SUFFIXES and not path.name.startswith("."):
            yield path
