"""WMVeID863: vehicles, one folder per identity, three files of the same name per triple.

Layout: `{train,query,test}/<pid>/{vis,ni,th}/*`, with `gallery` accepted for `test`.
Names: `v1_n1_s999_011.jpg`, of which only the view `v` (0 to 7) is read; it serves as the camera.

The flat layout, `{train,query,test}/{vis,ni,th}/*`, which some public code expects, is read too. There the name begins
with the identity: `0123_v1_n1_s999_011.jpg`, or `000123_cam2_0_00.jpg`, where cameras count from 1. A set has one of
the two layouts, and one of these two kinds of names.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from data_pipelines.checking.checks import checked_dataset, gathered_warnings
from data_pipelines.reading.folders import find_base, present_folders, subfolders
from data_pipelines.reading.numbers import numbered_record, only_field
from data_pipelines.reading.pairing import (
    Images,
    check_paired,
    orphan_warnings,
    paired_identities,
    paired_images,
)
from data_pipelines.reading.records import DataError, Dataset, Facts, Record

FACTS = Facts(
    name="wmveid863",
    removal="camid",
    root_names=("WMVEID863", "WMVeID863", "MSVwild863_neo"),
    example="0123/vis/v1_n1_s999_011.jpg",
    published={"train": (3482, 603), "query": (959, 210), "gallery": (1226, 260)},
)

SPLIT_FOLDERS = {"train": ("train",), "query": ("query",), "gallery": ("test", "gallery")}
MODALITY_FOLDERS = ("vis", "ni", "th")
FLAT_EXAMPLES = "vis/0123_v1_n1_s999_011.jpg or vis/000123_cam2_0_00.jpg"

_VIEW = re.compile(r"(?:^|_)v([0-7])(?=_|$)")
_CAMERA = re.compile(r"(?:^|_)cam(0*[1-9]\d*)(?=_|$)")
_FLAT_PID = re.compile(r"(\d+)_")


def read(root: Path) -> Dataset:
    """Read the records of WMVeID863 below `root` (the data set's own folder or its parent); opens no image.

    A file is left out if another modality has no file of the same name; a warning counts and names such files. Raises
    DataError if both layouts occur, or both kinds of flat names.
    """
    base = find_base(root, root_names=FACTS.root_names, split_folders=SPLIT_FOLDERS)
    folders = present_folders(base, SPLIT_FOLDERS)
    is_flat = _is_flat(list(folders.values()))
    splits: dict[str, list[Record]] = {}
    with gathered_warnings() as warnings:
        for split, folder in folders.items():
            if is_flat:
                found, orphans = paired_images(folder, MODALITY_FOLDERS)
            else:
                found, orphans = paired_identities(folder, MODALITY_FOLDERS, FACTS.example)
            check_paired(split, folder, MODALITY_FOLDERS, found, orphans)
            warnings.extend(orphan_warnings(FACTS.name, split, orphans, base))
            splits[split] = [_flat_record(images) if is_flat else _record(images) for images in found]
        if is_flat:
            _check_one_kind_of_names([record for records in splits.values() for record in records])
        return checked_dataset(FACTS, base, splits, warnings)


def _is_flat(folders: Sequence[Path]) -> bool:
    """Tell whether the splits hold folders of modalities in place of folders of identities."""
    flat, nested = [], []
    for folder in folders:
        for path in subfolders(folder):
            if path.name in MODALITY_FOLDERS:
                flat.append(path)
            elif path.name.isdecimal():
                nested.append(path)
    if flat and nested:
        raise DataError(
            f"{flat[0]} is a modality of the flat layout and {nested[0]} an identity of the other one; keep the files "
            f"of one layout, and move the other away"
        )
    return bool(flat)


def _record(images: Images) -> Record:
    path = images[0].path
    view = only_field(path, _VIEW, FACTS.example)
    if view is None:
        raise DataError(
            f"{path}: not a WMVeID863 name; expected a view v0 to v7, as in {FACTS.example}. "
            "Rename the file or move it away."
        )
    return numbered_record(images, pid=path.parents[1].name, camid=view)


def _flat_record(images: Images) -> Record:
    path = images[0].path
    pid, view, camera = (
        _FLAT_PID.match(path.name),
        only_field(path, _VIEW, FACTS.example),
        only_field(path, _CAMERA, FLAT_EXAMPLES),
    )
    if view is not None and camera is not None:
        raise DataError(
            f"{path}: has a view, v{view}, and a camera, cam{camera}; which of them is the camera? Remove one"
        )
    if pid is None or (view is None and camera is None):
        raise DataError(
            f"{path}: not a WMVeID863 name of the flat layout; expected the identity, then a view v0 to v7 or a "
            f"camera from cam1, as in {FLAT_EXAMPLES}. Rename the file, or put it into its identity's folder, as in "
            f"{FACTS.example}"
        )
    if view is not None:
        return numbered_record(images, pid=pid[1], camid=view)
    return numbered_record(images, pid=pid[1], camid=camera or "", first_camera=1)


def _check_one_kind_of_names(records: Sequence[Record]) -> None:
    # v1 is camera 1 and cam1 is camera 0: together they would make one camera of two.
    by_view = [record for record in records if _VIEW.search(record.images[0].path.stem)]
    by_camera = [record for record in records if not _VIEW.search(record.images[0].path.stem)]
    if by_view and by_camera:
        raise DataError(
            f"{FACTS.name}: {by_view[0].where} names a view, {by_camera[0].where} a camera; a set has one kind of "
            f"names, as in {FLAT_EXAMPLES}; rename the others"
        )
