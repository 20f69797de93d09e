"""Folders, one a modality, into triples: by exact file name, never by position."""

from collections.abc import Sequence
from pathlib import Path

from data_pipelines.folders import first_folder, identity_folders, image_files, shortlist
from data_pipelines.records import ImageRef

Images = tuple[ImageRef, ...]


def paired_images(base: Path, modality_folders: Sequence[str]) -> tuple[list[Images], list[Path]]:
    """The triples of `base/<modality folder>/<name>`, sorted by name, and the files that are in no triple.

    `modality_folders` are in the order R, N, T.
    """
    # By exact name: pairing the i-th entries of three listings mixes triples from the first orphan on.
    folders = [first_folder(base, name) for name in modality_folders]
    files = [image_files(folder) for folder in folders]
    complete = set.intersection(*({path.name for path in paths} for paths in files))
    orphans = [path for paths in files for path in paths if path.name not in complete]
    return [tuple(ImageRef(folder / name) for folder in folders) for name in sorted(complete)], orphans


def paired_identities(
    base: Path, modality_folders: Sequence[str], example: str
) -> tuple[list[tuple[int, Images]], list[Path]]:
    """(identity, triple) of `base/<pid>/<modality folder>/<name>`, sorted, and the files that are in no triple.

    `example` is a path of the layout, for the error about a folder that is no identity.
    """
    found: list[tuple[int, Images]] = []
    orphans: list[Path] = []
    for pid, folder in identity_folders(base, example):
        triples, alone = paired_images(folder, modality_folders)
        found.extend((pid, images) for images in triples)
        orphans.extend(alone)
    return found, orphans


def orphan_warnings(name: str, split: str, orphans: Sequence[Path], base: Path) -> tuple[str, ...]:
    """One warning that counts and names the orphans of a split, or none."""
    if not orphans:
        return ()
    names = [path.relative_to(base).as_posix() for path in orphans]
    return (
        f"{name}: {len(orphans)} files of {split} lack a companion of the same name in another "
        f"modality and are left out: {shortlist(names, 20)}",
    )
