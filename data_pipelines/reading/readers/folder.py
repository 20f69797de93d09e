"""Read data of your own: a folder for each split, in it one for each modality, files of the same name for a triple.

Layout: `{train,query,gallery}/{R,N,T}/*`; for triples without identities `unlabelled` in place of `train`,
`unlabelled_query` and `unlabelled_gallery`. A set may lack train, or both query and gallery. A set that lacks a
modality has no folder of it in any split.
Names: `12_c3_anything.jpg` = identity, camera, anything. In the unlabelled folders every name is accepted; the camera
is 0 if the name has no field `c3`. If no name of a query or gallery has an identity, it is unlabelled too, with a
warning. If only some names have one, the others are an error.
"""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from data_pipelines.checking.checks import checked_dataset, gathered_warnings
from data_pipelines.reading.folders import find_base, is_near, present_folders, shortlist, subfolders
from data_pipelines.reading.numbers import numbered_record
from data_pipelines.reading.pairing import Images, check_paired, orphan_warnings, paired_images
from data_pipelines.reading.records import MODALITIES, DataError, Dataset, Facts, Record

FACTS = Facts(name="folder", removal="camid", root_names=(), example="12_c3_anything.jpg", published={})

SPLIT_FOLDERS = {
    "train": ("train", "unlabelled"),
    "query": ("query", "unlabelled_query"),
    "gallery": ("gallery", "unlabelled_gallery"),
}

_NAME = re.compile(r"(?P<pid>\d+)_c(?P<camid>\d+)(_.*)?", re.DOTALL)
_CAMERA = re.compile(r"(?:^|_)c(\d+)(?=_|$)")


def read(root: Path) -> Dataset:
    """Read the records of a data set of your own below `root`; opens no image.

    A file is left out if another modality has no file of the same name; a warning counts and names such files.
    """
    base = find_base(root, root_names=(), split_folders=SPLIT_FOLDERS)
    for labelled, unlabelled in SPLIT_FOLDERS.values():
        if (base / labelled).is_dir() and (base / unlabelled).is_dir():
            raise DataError(f"{base} has both {labelled}/ and {unlabelled}/; keep the one that is to be used")
    folders = present_folders(base, SPLIT_FOLDERS)
    splits: dict[str, list[Record]] = {}
    with gathered_warnings(_unread_warnings(folders.values(), base)) as warnings:
        modalities = _modalities(folders.values())
        for split, folder in folders.items():
            triples, orphans = paired_images(folder, modalities)
            check_paired(split, folder, modalities, triples, orphans)
            warnings.extend(orphan_warnings(FACTS.name, split, orphans, base))
            labelled, notice = _labelled(split, folder, [images[0].path for images in triples])
            splits[split] = [_record(images, labelled=labelled) for images in triples]
            warnings.extend(notice)
        return checked_dataset(FACTS, base, splits, warnings, modalities)


def _unread_warnings(folders: Collection[Path], base: Path) -> tuple[str, ...]:
    """Warn of folders that are no modality; DataError if one differs from a modality only in capitals or spaces."""
    others = [path for folder in folders for path in subfolders(folder) if path.name not in MODALITIES]
    for path in others:
        if meant := [name for name in MODALITIES if is_near(path.name, name)]:
            raise DataError(
                f"{path}: is not the folder {meant[0]} but looks like it; call it {meant[0]}, or move it away"
            )
    names = [f"{path.relative_to(base).as_posix()}/" for path in others]
    return (f"{FACTS.name}: folders that are not read: {shortlist(names)}",) if names else ()


def _modalities(folders: Collection[Path]) -> tuple[str, ...]:
    """List the modalities that any split has a folder of; `paired_images` refuses a split that lacks one of them."""
    found = tuple(name for name in MODALITIES if any((folder / name).is_dir() for folder in folders))
    return found or MODALITIES


def _labelled(split: str, folder: Path, paths: Sequence[Path]) -> tuple[bool, tuple[str, ...]]:
    """Tell whether the names of a split are read for identities, and warn if none of them has one.

    A query or gallery has identities in all names or in none. So a mistake in one name is no missing label.
    """
    if folder.name != SPLIT_FOLDERS[split][0]:
        return False, ()
    nameless = [path for path in paths if _NAME.fullmatch(path.stem) is None]
    if split == "train" or not nameless:
        return True, ()
    names = shortlist([path.relative_to(folder.parent).as_posix() for path in nameless], 5)
    if len(nameless) < len(paths):
        raise DataError(
            f"{folder}: {len(nameless)} of {len(paths)} names have no identity and camera, as in {FACTS.example}: "
            f"{names}. Rename these files; if no identity of this split is known, call the folder "
            f"{SPLIT_FOLDERS[split][1]}/"
        )
    return False, (
        f"{FACTS.name}: none of the {len(paths)} names of {folder.name}/ has an identity and camera, as in "
        f"{FACTS.example}, so all are taken for triples without an identity: {names}",
    )


def _record(images: Images, *, labelled: bool) -> Record:
    path = images[0].path
    if not labelled:
        camera = _CAMERA.search(path.stem)
        return numbered_record(images, pid="", camid=camera[1] if camera else "0")
    match = _NAME.fullmatch(path.stem)
    if match is None:
        raise DataError(
            f"{path}: expected an identity and a camera, as in {FACTS.example}. Rename the file; training triples "
            f"without identities go into unlabelled/ in place of train/."
        )
    return numbered_record(images, pid=match["pid"], camid=match["camid"])
