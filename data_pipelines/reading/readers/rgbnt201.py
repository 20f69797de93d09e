"""RGBNT201: persons, one folder per modality, three files of the same name per triple; every test triple is a query.

Layout: `{train_171,test}/{RGB,NI,TI}/*`; query and gallery are both `test`.
Names: `000258_cam1_0_00.jpg` = identity (six digits), camera (from 1), a field the rule does not use, counter.

Each query is in the gallery too. The removal rule removes it, with all triples of its identity and its camera.
"""

import re
from pathlib import Path

from data_pipelines.checking.checks import checked_dataset, gathered_warnings
from data_pipelines.reading.folders import find_base, present_folders
from data_pipelines.reading.numbers import numbered_record
from data_pipelines.reading.pairing import Images, check_paired, orphan_warnings, paired_images
from data_pipelines.reading.records import DataError, Dataset, Facts, Record

FACTS = Facts(
    name="rgbnt201",
    removal="camid",
    root_names=("RGBNT201",),
    example="000258_cam1_0_00.jpg",
    published={"train": (3951, 171), "query": (836, 30), "gallery": (836, 30)},
)

SPLIT_FOLDERS = {"train": "train_171", "test": "test"}
MODALITY_FOLDERS = ("RGB", "NI", "TI")

_NAME = re.compile(r"(?P<pid>\d{6})_cam(?P<camera>[1-9]\d*)_(?P<scene>\d+)(_.*)?", re.DOTALL)


def read(root: Path) -> Dataset:
    """Read the records of RGBNT201 below `root` (the data set's own folder or its parent); opens no image.

    A file is left out if another modality has no file of the same name; a warning counts and names such files.
    """
    base = find_base(root, root_names=FACTS.root_names, split_folders=SPLIT_FOLDERS)
    found: dict[str, list[Record]] = {}
    with gathered_warnings() as warnings:
        for split, folder in present_folders(base, SPLIT_FOLDERS).items():
            triples, orphans = paired_images(folder, MODALITY_FOLDERS)
            check_paired(split, folder, MODALITY_FOLDERS, triples, orphans)
            warnings.extend(orphan_warnings(FACTS.name, split, orphans, base))
            found[split] = [_record(images) for images in triples]
        places = {"train": "train", "query": "test", "gallery": "test"}
        splits = {split: found[place] for split, place in places.items() if place in found}
        return checked_dataset(FACTS, base, splits, warnings)


def _record(images: Images) -> Record:
    path = images[0].path
    match = _NAME.fullmatch(path.stem)
    if match is None:
        raise DataError(
            f"{path}: not an RGBNT201 name; expected an identity of six digits and a camera from 1, as in "
            f"{FACTS.example}. Rename the file or move it away."
        )
    return numbered_record(
        images, pid=match["pid"], camid=match["camera"], scene=match["scene"], first_camera=1
    )
