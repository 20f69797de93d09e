"""MSVR310: vehicles, one folder per identity, three files of the same name per triple, no matches within a scene.

Layout: `{bounding_box_train,query3,bounding_box_test}/<pid>/{vis,ni,th}/*`, with `query` accepted for `query3`.
Names: `0094_s023_v1_007.jpg` = identity, scene, view (0 to 7; it serves as the camera), counter.

MSVR310_neo, which MAN's authors rid of its overlap with WMVeID863, has `{train,query,test}` instead, and names with
the fields `s`, `v` and `n` but without the identity, which is that of the folder.
"""

import re
from pathlib import Path

from data_pipelines.checks import checked_dataset
from data_pipelines.folders import find_base, present_folders, shortlist
from data_pipelines.pairing import Images, orphan_warnings, paired_identities
from data_pipelines.records import DataError, Dataset, Facts, Record

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
    """The records of MSVR310 below `root` (the data set's own folder or its parent); no image is opened.

    A file without two companions of its name is an orphan: left out, counted and named in the warnings.
    """
    base = find_base(root, root_names=FACTS.root_names, split_folders=SPLIT_FOLDERS)
    folders = present_folders(base, SPLIT_FOLDERS)
    telling = "train" if "train" in folders else "gallery"
    pid_in_name = folders[telling].name == SPLIT_FOLDERS[telling][0]
    splits: dict[str, list[Record]] = {}
    warnings: list[str] = []
    for split, folder in folders.items():
        found, orphans = paired_identities(folder, MODALITY_FOLDERS, FACTS.example)
        splits[split] = [_record(None if pid_in_name else pid, images) for pid, images in found]
        warnings.extend(orphan_warnings(FACTS.name, split, orphans, base))
        warnings.extend(_misfiled(split, splits[split], base))
    return checked_dataset(FACTS, base, splits, warnings)


def _record(folder_pid: int | None, images: Images) -> Record:
    path = images[0].path
    named, scene, view = _PID.match(path.name), _SCENE.search(path.stem), _VIEW.search(path.stem)
    pid = folder_pid if folder_pid is not None else named and int(named[1])
    if pid is None or scene is None or view is None:
        raise DataError(
            f"{path}: not an MSVR310 name; expected an identity, a scene such as s023 and a view v0 to v7, as in "
            f"{FACTS.example}. Rename the file or move it away."
        )
    return Record(images=images, pid=pid, camid=int(view[1]), scene=int(scene[1]))


def _misfiled(split: str, records: list[Record], base: Path) -> tuple[str, ...]:
    # The protocol reads the name; a folder that says otherwise is most likely a slip of copying.
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
