"""Data of your own in folders: one per split, below it one per modality, files of the same name for a triple.

Layout: `{train,query,gallery}/{R,N,T}/*`; `unlabelled` in place of `train` for a target without identities. A set that
lacks a modality has no folder of it in any split.
Names: `12_c3_anything.jpg` = identity, camera, whatever you like. In `unlabelled` every name is accepted; the camera
is 0 where the name has no field `c3`.
"""

import re
from collections.abc import Collection
from pathlib import Path

from data_pipelines.checks import checked_dataset, gathered_warnings
from data_pipelines.folders import find_base, first_folder, is_near, shortlist, subfolders
from data_pipelines.numbers import numbered_record
from data_pipelines.pairing import Images, check_paired, orphan_warnings, paired_images
from data_pipelines.records import MODALITIES, DataError, Dataset, Facts, Record

FACTS = Facts(name="folder", removal="camid", root_names=(), example="12_c3_anything.jpg", published={})

SPLIT_FOLDERS = {"train": ("train", "unlabelled"), "query": ("query",), "gallery": ("gallery",)}

_NAME = re.compile(r"(?P<pid>\d+)_c(?P<camid>\d+)(_.*)?", re.DOTALL)
_CAMERA = re.compile(r"(?:^|_)c(\d+)(?=_|$)")


def read(root: Path) -> Dataset:
    """The records of a data set of one's own below `root`; no image is opened.

    A file without its companions of the same name is an orphan: left out, counted and named in the warnings.
    """
    base = find_base(root, root_names=(), marker=SPLIT_FOLDERS["train"])
    if all((base / name).is_dir() for name in SPLIT_FOLDERS["train"]):
        raise DataError(f"{base} has both train/ and unlabelled/; keep the one to train on")
    folders = {split: first_folder(base, *names) for split, names in SPLIT_FOLDERS.items()}
    splits: dict[str, list[Record]] = {}
    with gathered_warnings(_unread_warnings(folders.values(), base)) as warnings:
        modalities = _modalities(folders.values())
        for split, folder in folders.items():
            triples, orphans = paired_images(folder, modalities)
            check_paired(split, folder, modalities, triples, orphans)
            warnings.extend(orphan_warnings(FACTS.name, split, orphans, base))
            splits[split] = [_record(images, labelled=folder.name != "unlabelled") for images in triples]
        return checked_dataset(FACTS, base, splits, warnings, modalities)


def _unread_warnings(folders: Collection[Path], base: Path) -> tuple[str, ...]:
    """Name the folders beside the modalities'; DataError for one that differs from them in capitals or spaces only."""
    others = [path for folder in folders for path in subfolders(folder) if path.name not in MODALITIES]
    for path in others:
        if meant := [name for name in MODALITIES if is_near(path.name, name)]:
            raise DataError(
                f"{path}: is not the folder {meant[0]} but looks like it; call it {meant[0]}, or move it away"
            )
    names = [f"{path.relative_to(base).as_posix()}/" for path in others]
    return (f"{FACTS.name}: folders that are not read: {shortlist(names)}",) if names else ()


def _modalities(folders: Collection[Path]) -> tuple[str, ...]:
    """Those that any split has a folder of; `paired_images` refuses a split that lacks one of them."""
    found = tuple(name for name in MODALITIES if any((folder / name).is_dir() for folder in folders))
    return found or MODALITIES


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
