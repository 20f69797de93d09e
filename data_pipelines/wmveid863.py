"""WMVeID863: vehicles, one folder per identity, three files of the same name per triple.

Layout: `{train,query,test}/<pid>/{vis,ni,th}/*`, with `gallery` accepted for `test`.
Names: `v1_n1_s999_011.jpg`, of which only the view `v` (0 to 7) is read; it serves as the camera.
"""

import re
from pathlib import Path

from data_pipelines.checks import checked_dataset
from data_pipelines.folders import find_base, first_folder, image_files, shortlist, subfolders
from data_pipelines.records import DataError, Dataset, Facts, ImageRef, Record

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
    base = find_base(root, root_names=FACTS.root_names, marker="train")
    splits: dict[str, list[Record]] = {}
    warnings: list[str] = []
    for split, names in SPLIT_FOLDERS.items():
        records: list[Record] = []
        orphans: list[str] = []
        folder = first_folder(base, *names)
        for identity in subfolders(folder):
            complete, alone = _pair(identity)
            records.extend(_record(identity, name) for name in complete)
            orphans.extend(str(path.relative_to(base)) for path in alone)
        splits[split] = records
        if orphans:
            warnings.append(
                f"{FACTS.name}: {len(orphans)} files of {split} lack a companion of the same name in another "
                f"modality and are left out: {shortlist(orphans, 20)}"
            )
    return checked_dataset(FACTS, base, splits, warnings)


def _pair(identity: Path) -> tuple[list[str], list[Path]]:
    """The names present in all three modalities, sorted, and the files of all other names."""
    # By exact name: pairing the i-th entries of three listings mixes triples from the first orphan on.
    files = [image_files(first_folder(identity, modality)) for modality in MODALITY_FOLDERS]
    complete = set.intersection(*({path.name for path in paths} for paths in files))
    orphans = [path for paths in files for path in paths if path.name not in complete]
    return sorted(complete), orphans


def _record(identity: Path, name: str) -> Record:
    match = _VIEW.search(Path(name).stem)
    if match is None or not identity.name.isdecimal():
        raise DataError(
            f"{identity / MODALITY_FOLDERS[0] / name}: not a WMVeID863 name; expected a numbered identity "
            f"folder and a view v0 to v7 in the file name, as in {FACTS.example}. "
            "Rename the file or move it away."
        )
    red, near, thermal = (ImageRef(identity / modality / name) for modality in MODALITY_FOLDERS)
    return Record(images=(red, near, thermal), pid=int(identity.name), camid=int(match[1]))
