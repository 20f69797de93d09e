"""Read the numbers of a triple from text (pid, camid and scene), within what a prepared table can hold."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from data_pipelines.reading.folders import shortlist
from data_pipelines.reading.records import UNLABELLED, DataError, ImageRef, Record, Removal

LARGEST = 2**63 - 1
"""The largest number of 64 bits, in which prepared sets keep their numbers."""


def numbered_record(
    images: tuple[ImageRef, ...],
    *,
    pid: str,
    camid: str,
    scene: str = "",
    first_camera: int = 0,
    where: str = "",
) -> Record:
    """Make the record of a triple from the digits of its numbers; an empty pid is UNLABELLED, an empty scene -1.

    `first_camera` is the number of the set's first camera. `where` is the place of the digits for messages; if it is
    empty, the path of the first image is named. Raises DataError if a number exceeds LARGEST.
    """
    where = where or str(images[0].path)
    return Record(
        images=images,
        pid=_whole(pid, "pid", where) if pid else UNLABELLED,
        camid=_whole(camid, "camid", where) - first_camera,
        scene=_whole(scene, "scene", where) if scene else -1,
        written=(pid, camid, scene),
        where=where,
    )


def only_field(path: Path, field: re.Pattern[str], example: str) -> str | None:
    """Find the digits of `field` in a file's name; None if it has no such field, DataError if it has two."""
    found = field.findall(path.stem)
    if len(found) > 1:
        raise DataError(
            f"{path}: its name has {' and '.join(found)} where one number is read; rename it, as in {example}"
        )
    return found[0] if found else None


def _whole(digits: str, column: str, where: str) -> int:
    # Python itself refuses to read more than 4,300 digits, so their number is looked at first.
    if len(digits.lstrip("0")) > len(str(LARGEST)) or int(digits) > LARGEST:
        shown = digits if len(digits) <= 40 else f"{digits[:40]}… ({len(digits)} digits)"
        raise DataError(f"{where}: {column} is {shown}, at most {LARGEST} is kept; number them anew")
    return int(digits)


def check_spellings(name: str, records: Iterable[Record], *, removal: Removal) -> None:
    """Check that no number is written in two ways, as 007 and 7, which may be one identity or two; DataError if so.

    Scenes are checked only if the rule `removal` compares scenes.
    """
    first: dict[tuple[str, int], tuple[str, str]] = {}
    clashes: dict[tuple[str, int], str] = {}
    for record in records:
        for key, written in _spellings(record, removal):
            before, where = first.setdefault(key, (written, record.where))
            if before != written and key not in clashes:
                clashes[key] = f"{key[0]} {key[1]} is {before!r} in {where} and {written!r} in {record.where}"
    if clashes:
        raise DataError(
            f"{name}: {shortlist(list(clashes.values()), 3)}: one or two? Write each number in one way, or number "
            f"the second anew"
        )


def _spellings(record: Record, removal: Removal) -> Iterator[tuple[tuple[str, int], str]]:
    pid, camid, scene = record.written
    if pid:
        yield ("pid", record.pid), pid
    if camid:
        yield ("camid", record.camid), camid
    if scene and removal == "scene":
        yield ("scene", record.scene), scene
