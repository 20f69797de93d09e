"""MSVR310: vehicles, one folder per identity, three files of the same name per triple, no matches within a scene.

Layout: `{bounding_box_train,query3,bounding_box_test}/<pid>/{vis,ni,th}/*`, with `query` accepted for `query3`.
Names: `0094_s023_v1_007.jpg` = identity, scene, view (0 to 7; it serves as the camera), counter.

MSVR310_neo, from which MAN's authors removed the overlap with WMVeID863, has `{train,query,test}` instead. Its names
have the fields `s`, `v` and `n` but no identity; the folder gives it.
"""

import re
from pathlib import Path

from data_pipelines.checking.checks import checked_dataset, gathered_warnings
from data_pipelines.reading.folders import find_base, present_folders, shortlist
from data_pipelines.reading.numbers import numbered_record, only_field
from data_pipelines.reading.pairing import Images, check_paired, orphan_warnings, paired_identities
from data_pipelines.reading.records import DataError, Dataset, Facts, Record

FACTS = Facts(
    name="msvr310",
    removal="scene",
    root_names=("MSVR310", "msvr310", "MSVR310_neo"),
    example="0094/vis/0094_s023_v1_007.jpg",
    published={"train": (1032, 155), "query": (591, 52), "gallery": (1055, 155)},
)

SPLIT_FOLDERS = {
    "train": ("bounding_box_train", "train"),
    "query": ("query3", "query"),
    "gallery": ("bounding_box_test", "test"),
}
MODALITY_FOLDERS = ("vis", "ni", "th")

_SCENE = re.compile(r"(?:^|_)s(\d+)(?=_|$)")
_VIEW = re.compile(r"(?:^|_)v([0-7])(?=_|$)")
_PID = re.compile(r"(\d+)_")


def read(root: Path) -> Dataset:
    """Read the records of MSVR310 below `root` (the data set's own folder or its parent); opens no image.

    A file is left out if another modality has no file of the same name; a warning counts and names such files.
    """
    base = find_base(root, root_names=FACTS.root_names, split_folders=SPLIT_FOLDERS)
    folders = present_folders(base, SPLIT_FOLDERS)
    telling = "train" if "train" in folders else "gallery"
    pid_in_name = folders[telling].name == SPLIT_FOLDERS[telling][0]
    splits: dict[str, list[Record]] = {}
    with gathered_warnings() as warnings:
        for split, folder in folders.items():
            found, orphans = paired_identities(folder, MODALITY_FOLDERS, FACTS.example)
            check_paired(split, folder, MODALITY_FOLDERS, found, orphans)
            warnings.extend(orphan_warnings(FACTS.name, split, orphans, base))
            splits[split] = [_record(images, pid_in_name=pid_in_name) for images in found]
            warnings.extend(_misfiled(split, splits[split], base))
        return checked_dataset(FACTS, base, splits, warnings)


def _record(images: Images, *, pid_in_name: bool) -> Record:
    path = images[0].path
    named = _PID.match(path.name)
    scene, view = (only_field(path, field, FACTS.example) for field in (_SCENE, _VIEW))
    pid = named and named[1] if pid_in_name else path.parents[1].name
    if pid is None or scene is None or view is None:
        raise DataError(
            f"{path}: not an MSVR310 name; expected an identity, a scene such as s023 and a view v0 to v7, as in "
            f"{FACTS.example}. Rename the file or move it away."
        )
    return numbered_record(images, pid=pid, camid=view, scene=scene)


def _misfiled(split: str, records: list[Record], base: Path) -> tuple[str, ...]:
    # The protocol reads the name. A folder with another number is most likely a mistake in copying.
    found = [
        record.images[0].path.relative_to(base).as_posix()
        for record in records
        if record.pid != int(record.images[0].path.parents[1].name)
    ]
    if not found:
        return ()
    return (
        f"{FACTS.name}: {len(found)} triples of {split} lie in the folder of another identity than their names "
        f"say; the names count: {shortlist(found, 20)}",
    )
