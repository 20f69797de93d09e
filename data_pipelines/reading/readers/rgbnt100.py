"""RGBNT100: vehicles, one 768x128 picture per triple, the three modalities side by side.

Layout: `{bounding_box_train,query,bounding_box_test}/*.jpg`, in `rgbir/`, `rgbirt/` or the root itself.
Names: `0502_c0001_000.jpg` = identity, camera (from 1), counter.
"""

import re
from pathlib import Path

from data_pipelines.checking.checks import checked_dataset, gathered_warnings, junk_warnings
from data_pipelines.reading.folders import find_base, image_files, present_folders
from data_pipelines.reading.numbers import numbered_record
from data_pipelines.reading.records import DataError, Dataset, Facts, ImageRef, Record

FACTS = Facts(
    name="rgbnt100",
    removal="camid",
    root_names=("RGBNT100",),
    example="0502_c0001_000.jpg",
    published={"train": (8675, 50), "query": (1715, 50), "gallery": (8575, 50)},
)

SPLIT_FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
PICTURE_SIZE = (768, 128)
BOXES = ((0, 0, 256, 128), (256, 0, 512, 128), (512, 0, 768, 128))
JUNK_PID = -1

_NAME = re.compile(r"(?P<pid>-1|\d+)_c(?P<camera>0*[1-9]\d*)(_.*)?", re.DOTALL)


def read(root: Path) -> Dataset:
    """Read the records of RGBNT100 below `root` (the data set's own folder or its parent); opens no image."""
    base = find_base(
        root,
        root_names=FACTS.root_names,
        split_folders=SPLIT_FOLDERS,
        inside=("", "rgbir", "rgbirt"),
    )
    splits: dict[str, list[Record]] = {}
    with gathered_warnings() as warnings:
        for split, folder in present_folders(base, SPLIT_FOLDERS).items():
            records = [_record(path) for path in image_files(folder)]
            splits[split] = [record for record in records if record.pid != JUNK_PID]
            warnings.extend(junk_warnings(FACTS.name, split, len(records) - len(splits[split])))
        return checked_dataset(FACTS, base, splits, warnings)


def _record(path: Path) -> Record:
    # Only the base name: in the full path, a parent folder such as `run1_c2` would be taken for a name.
    match = _NAME.fullmatch(path.stem)
    if match is None:
        raise DataError(
            f"{path}: not an RGBNT100 name; expected identity, camera from 1 and counter, "
            f"as in {FACTS.example}. Rename the file or move it away."
        )
    red, near, thermal = (ImageRef(path, box, PICTURE_SIZE) for box in BOXES)
    return numbered_record((red, near, thermal), pid=match["pid"], camid=match["camera"], first_camera=1)
