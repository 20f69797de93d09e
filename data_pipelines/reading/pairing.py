"""Pair the images of one folder per modality into triples, by file name without suffix, never by position."""

import itertools
import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_pipelines.reading.folders import (
    IMAGE_SUFFIXES,
    by_suffix,
    first_folder,
    identity_folders,
    image_files,
    shortlist,
    subfolders,
)
from data_pipelines.reading.printable import printable
from data_pipelines.reading.records import DataError, ImageRef

Images = tuple[ImageRef, ...]


def paired_images(base: Path, modality_folders: Sequence[str]) -> tuple[list[Images], list[Path]]:
    """Pair the files `base/<modality folder>/<stem><suffix>` into sorted triples; list the files in no triple.

    `modality_folders` are in the order R, N, T. The modalities may have different suffixes. Raises DataError if a
    folder holds two files of one stem, unless all folders hold the same two names.
    """
    # Paired by stem: pairing the i-th entries of three listings would mix triples after the first missing file.
    by_stem = [_by_stem(first_folder(base, name)) for name in modality_folders]
    complete = set.intersection(*(set(files) for files in by_stem))
    triples: list[Images] = []
    for stem in complete:
        found = [files[stem] for files in by_stem]
        names = [[path.name for path in paths] for paths in found]
        for paths in found:
            if len(paths) > 1 and any(other != names[0] for other in names):
                raise DataError(_two_of_one_stem(paths))
        triples.extend(tuple(map(ImageRef, paths)) for paths in zip(*found, strict=True))
    orphans = [
        path
        for files in by_stem
        for stem, paths in sorted(files.items())
        if stem not in complete
        for path in paths
    ]
    return sorted(triples, key=lambda images: images[0].path.name), orphans


def _by_stem(folder: Path) -> Mapping[str, Sequence[Path]]:
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for path in image_files(folder):
        found[path.stem].append(path)
    return found


def _two_of_one_stem(paths: Sequence[Path]) -> str:
    names = [path.name for path in paths]
    return (
        f"{paths[0].parent}: {shortlist(names)} are {len(names)} files of one name up to the suffix, and the other "
        f"modalities do not tell which belongs to them; rename or remove all but one"
    )


def paired_identities(
    base: Path, modality_folders: Sequence[str], example: str
) -> tuple[list[Images], list[Path]]:
    """Pair the files `base/<pid>/<modality folder>/<stem><suffix>` into sorted triples; list the files in no triple.

    The error about a folder that is no identity shows `example`, a path of this layout.
    """
    found: list[Images] = []
    orphans: list[Path] = []
    for _, folder in identity_folders(base, example):
        triples, alone = paired_images(folder, modality_folders)
        found.extend(triples)
        orphans.extend(alone)
    return found, orphans


def orphan_warnings(name: str, split: str, orphans: Sequence[Path], base: Path) -> tuple[str, ...]:
    """Warn of the files of a split that are in no triple, with their number and some names; () without any."""
    if not orphans:
        return ()
    names = [path.relative_to(base).as_posix() for path in orphans]
    return (
        f"{name}: {len(orphans)} files of {split} lack a companion of the same name, up to the suffix, in another "
        f"modality and are left out: {shortlist(names, 20)}{_alike_names(orphans)}",
    )


def check_paired(
    split: str,
    folder: Path,
    modality_folders: Sequence[str],
    triples: Sequence[Images],
    orphans: Sequence[Path],
) -> None:
    """Check that the files in `folder` make at least one triple; DataError says what each modality has."""
    sides = {name: [path for path in orphans if path.parent.name == name] for name in modality_folders}
    others = {name: _not_read(folder / name) for name in modality_folders}
    if triples or not (orphans or any(others.values())):
        return
    found = []
    for name, paths in sides.items():
        image = f"{len(paths)} such as {printable(paths[0].name)}" if paths else "no image"
        found.append(f"{name}/ has {image}" + (f" and, not read, {others[name]}" if others[name] else ""))
    raise DataError(
        f"{folder}: no triple in the split {split}: {'; '.join(found)}; the files of a triple need the same name up "
        f"to the suffix, one in each modality{_alike_names(orphans)}. Rename them, or add what is missing"
    )


def _not_read(folder: Path) -> str:
    """Describe the files in `folder` that are no images, by suffix, and its folders; empty if there are none."""
    if not folder.is_dir():
        return ""
    files = [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and path.suffix.lower() not in IMAGE_SUFFIXES and not path.name.startswith(".")
    ]
    deeper = subfolders(folder)
    folders = [f"{len(deeper)} folders such as {deeper[0].name}/"] if deeper else []
    return ", ".join([*([by_suffix(files)] if files else []), *folders])


def _alike_names(orphans: Sequence[Path]) -> str:
    """Describe the first two files of different modalities that may belong together, and how their names differ."""
    present = {(path.parent, path.stem) for path in orphans}
    alike: defaultdict[tuple[Path, str], list[Path]] = defaultdict(list)
    for path in orphans:
        alike[path.parent.parent, _numbers(path.stem)].append(path)
    for paths in alike.values():
        for path, other in itertools.pairwise(paths):
            if other.parent != path.parent and (other.parent, path.stem) not in present:
                names = " and ".join(f"{each.parent.name}/{printable(each.name)}" for each in (path, other))
                return f". For example, {names} {_difference(path.stem, other.stem)}"
    return ""


def _numbers(stem: str) -> str:
    """Take the part of a name that distinguishes triples: its numbers, or its letters if it has no number."""
    return "_".join(re.findall(r"\d+", stem)) or _plain(stem)


def _plain(stem: str) -> str:
    return unicodedata.normalize("NFC", stem).casefold().strip()


def _difference(stem: str, other: str) -> str:
    if unicodedata.normalize("NFC", stem) == unicodedata.normalize("NFC", other):
        return "look alike, but their accents are stored in two ways (Unicode NFC and NFD)"
    if _plain(stem) == _plain(other):
        return "differ in capitals or spaces only"
    return "have the same numbers and differ in other characters"
