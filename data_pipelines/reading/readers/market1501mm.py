"""Market1501-MM: Market-1501 with near-infrared and thermal images made from RGB; a triple is three files of one name.

Layout: `{train,query,gallery}/{RGB,NI,TI}/*`, with Market-1501's `bounding_box_train` and `bounding_box_test` accepted.
Names: `0002_c1s1_000451_03.jpg` = identity, camera (from 1) and sequence, frame, box. Identity -1 is junk and left
out; 0 is a distractor, which matches no query and stays in the gallery.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from data_pipelines.checking.checks import checked_dataset, gathered_warnings, junk_warnings
from data_pipelines.reading.folders import find_base, present_folders, shortlist
from data_pipelines.reading.numbers import numbered_record
from data_pipelines.reading.pairing import Images, check_paired, orphan_warnings, paired_images
from data_pipelines.reading.records import DataError, Dataset, Facts, Record

FACTS = Facts(
    name="market1501mm",
    removal="camid",
    root_names=("Market1501-MM", "market1501_to_RGBNT201_dark", "Market-1501-RGBNT", "Market-MM"),
    example="0002_c1s1_000451_03.jpg",
    # The gallery without junk (19,732 with it); 751 are the 750 identities and the distractors' 0.
    published={"train": (12936, 751), "query": (3368, 750), "gallery": (15913, 751)},
)

SPLIT_FOLDERS = {
    "train": ("train", "bounding_box_train"),
    "query": ("query",),
    "gallery": ("gallery", "bounding_box_test"),
}
MODALITY_FOLDERS = ("RGB", "NI", "TI")
JUNK_PID, DISTRACTOR_PID = -1, 0

_NAME = re.compile(r"(?P<pid>-1|\d+)_c(?P<camera>[1-9])(s\d+)?(_.*)?", re.DOTALL)


def read(root: Path) -> Dataset:
    """Read the records of Market1501-MM below `root` (the data set's own folder or its parent); opens no image.

    A file is left out if another modality has no file of the same name; a warning counts and names such files.
    """
    base = find_base(root, root_names=FACTS.root_names, split_folders=SPLIT_FOLDERS)
    splits: dict[str, list[Record]] = {}
    with gathered_warnings() as warnings:
        for split, folder in present_folders(base, SPLIT_FOLDERS).items():
            triples, orphans = paired_images(folder, MODALITY_FOLDERS)
            check_paired(split, folder, MODALITY_FOLDERS, triples, orphans)
            warnings.extend(orphan_warnings(FACTS.name, split, orphans, base))
            records = [_record(images) for images in triples]
            splits[split] = [record for record in records if record.pid != JUNK_PID]
            _check_distractors(split, splits[split])
            warnings.extend(junk_warnings(FACTS.name, split, len(records) - len(splits[split])))
        return checked_dataset(FACTS, base, splits, warnings)


def _record(images: Images) -> Record:
    path = images[0].path
    match = _NAME.fullmatch(path.stem)
    if match is None:
        raise DataError(
            f"{path}: not a Market1501-MM name; expected an identity and a camera from 1, as in "
            f"{FACTS.example}. Rename the file or move it away."
        )
    return numbered_record(images, pid=match["pid"], camid=match["camera"], first_camera=1)


def _check_distractors(split: str, records: Sequence[Record]) -> None:
    # In the gallery they match no query; elsewhere they would be one identity of many persons.
    found = [record.name for record in records if record.pid == DISTRACTOR_PID]
    if found and split != "gallery":
        raise DataError(
            f"{FACTS.name}: {len(found)} triples of {split} have the identity 0, Market-1501's distractors, who "
            f"are nobody's match and belong into the gallery only: {shortlist(found)}; move or remove them"
        )
