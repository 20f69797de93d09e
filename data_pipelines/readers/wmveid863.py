"""WMVeID863: vehicles, one folder per identity, three files of the same name per triple.

Layout: `{train,query,test}/<pid>/{vis,ni,th}/*`, with `gallery` accepted for `test`.
Names: `v1_n1_s999_011.jpg`, of which only the view `v` (0 to 7) is read; it serves as the camera.
"""

import re
from pathlib import Path

from data_pipelines.checks import checked_dataset
from data_pipelines.folders import find_base, present_folders
from data_pipelines.pairing import Images, orphan_warnings, paired_identities
from data_pipelines.records import DataError, Dataset, Facts, Record

FACTS = Facts(
    name="wmveid863",
    removal="camid",
    root_names=("WMVEID863", "WMVeID863", "MSVwild863_neo"),
    example="0123/vis/v1_n1_s999_011.jpg",
    published={"train": (3482, 603), "query": (959, 210), "gallery": (1226, 260)},
)

SPLIT_FOLDERS = {"train": ("train",), "query": ("query",), "gallery": ("test", "gallery")}
MODALITY_FOLDERS = ("vis", "ni", "th")

_VIEW = re.compile(r"(?:^|_)v([0-7])(?=_|$)")


def read(root: Path) -> Dataset:
    """The records of WMVeID863 below `root` (the data set's own folder or its parent); no image is opened.

    A file without two companions of its name is an orphan: left out, counted and named in the warnings.
    """
    base = find_base(root, root_names=FACTS.root_names, split_folders=SPLIT_FOLDERS)
    splits: dict[str, list[Record]] = {}
    warnings: list[str] = []
    for split, folder in present_folders(base, SPLIT_FOLDERS).items():
        found, orphans = paired_identities(folder, MODALITY_FOLDERS, FACTS.example)
        splits[split] = [_record(pid, images) for pid, images in found]
        warnings.extend(orphan_warnings(FACTS.name, split, orphans, base))
    return checked_dataset(FACTS, base, splits, warnings)


def _record(pid: int, images: Images) -> Record:
    path = images[0].path
    match = _VIEW.search(path.stem)
    if match is None:
        raise DataError(
            f"{path}: not a WMVeID863 name; expected a view v0 to v7, as in {FACTS.example}. "
            "Rename the file or move it away."
        )
    return Record(images=images, pid=pid, camid=int(match[1]))
