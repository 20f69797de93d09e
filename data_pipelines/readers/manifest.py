"""Data of your own in a table, CSV or Parquet: a row is a triple, its files may lie anywhere.

Columns: `split` (train, query, gallery), `R`, `N`, `T` (paths, relative to the table's folder or absolute; a set that
lacks a modality has no such column, or an empty one), `pid` and `camid` (whole numbers from 0), and, if the rule is to
be that of scenes, `scene`. An empty `pid` is a triple
without an identity, in any split. The removal rule is 'same pid and same scene' if `scene` is filled, 'same pid and
same camid' if the column is absent or empty.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from data_pipelines.checks import checked_dataset
from data_pipelines.folders import shortlist
from data_pipelines.records import MODALITIES, SPLITS, UNLABELLED, DataError, Dataset, Facts, ImageRef, Record
from data_pipelines.tables import Row, read_rows

FACTS = Facts(
    name="manifest",
    removal="camid",
    root_names=(),
    example="train,rgb/7.jpg,nir/7.jpg,thermal/7.png,12,3",
    published={},
)

FILES = ("manifest.csv", "manifest.parquet")
REQUIRED = ("split", "pid", "camid")
OPTIONAL = (*MODALITIES, "scene")


def read(root: Path) -> Dataset:
    """The records of the table `root`, or of `manifest.csv` or `manifest.parquet` in the folder `root`."""
    path = _find(root)
    rows = read_rows(path)
    warnings = _check_columns(path, rows)
    modalities = _filled(path, rows)
    by_scene = any(row.cells.get("scene") for row in rows)
    splits: dict[str, list[Record]] = {split: [] for split in SPLITS}
    for row in rows:
        splits[_split(path, row)].append(_record(path, row, modalities, by_scene=by_scene))
    _check_files(path, rows, splits, modalities)
    facts = replace(FACTS, removal="scene" if by_scene else "camid")
    present = {split: records for split, records in splits.items() if records}
    return checked_dataset(facts, path, present, warnings, modalities)


def _find(root: Path) -> Path:
    if not root.is_dir():
        if root.suffix.lower() not in (".csv", ".parquet") or not root.is_file():
            raise DataError(f"{root}: not a table; give a .csv or .parquet file, or the folder of {FILES[0]}")
        return root
    found = [root / name for name in FILES if (root / name).is_file()]
    if len(found) != 1:
        what = "both" if found else "neither"
        raise DataError(f"{root} holds {what} {' and '.join(FILES)}; give the path of the table itself")
    return found[0]


def _check_columns(path: Path, rows: Sequence[Row]) -> tuple[str, ...]:
    if not rows:
        raise DataError(f"{path}: no row below the header; a row looks like {FACTS.example}")
    columns = list(rows[0].cells)
    if missing := [name for name in REQUIRED if name not in columns]:
        raise DataError(
            f"{path}: no column {', '.join(missing)}; there are {', '.join(columns)}. "
            f"Needed: {', '.join(REQUIRED)}, and those of R, N, T there are; scene if the rule is that of scenes"
        )
    unread = [name for name in columns if name not in (*REQUIRED, *OPTIONAL)]
    return (f"{FACTS.name}: columns that are not read: {', '.join(unread)}",) if unread else ()


def _filled(path: Path, rows: Sequence[Row]) -> tuple[str, ...]:
    """The modalities that any row has a path of."""
    found = tuple(name for name in MODALITIES if any(row.cells.get(name) for row in rows))
    if not found:
        raise DataError(
            f"{path}: no path in any of the columns {', '.join(MODALITIES)}; fill those there are"
        )
    return found


def _split(path: Path, row: Row) -> str:
    split = row.cells["split"]
    if split not in SPLITS:
        raise DataError(f"{path}, row {row.number}: split is {split!r}; write {', '.join(SPLITS)}")
    return split


def _record(path: Path, row: Row, modalities: Sequence[str], *, by_scene: bool) -> Record:
    cells, where = row.cells, f"{path}, row {row.number}"
    if missing := [name for name in modalities if not cells[name]]:
        raise DataError(
            f"{where}: no path in {', '.join(missing)}, which other rows have; fill it, remove the row, or "
            f"remove the column: a modality is there in every row or in none"
        )
    images = tuple(ImageRef(path.parent / cells[name]) for name in modalities)
    if len({image.path for image in images}) < len(images):
        raise DataError(f"{where}: one file stands for two modalities; give each its own")
    pid = _number(where, cells, "pid", UNLABELLED)
    camid = _number(where, cells, "camid", None)
    # Training triples and those of unknown identity are never removed from a list, so their scene may be unknown.
    may_lack_scene = cells["split"] == "train" or pid == UNLABELLED
    scene = _number(where, cells, "scene", -1 if may_lack_scene else None) if by_scene else -1
    return Record(images=images, pid=pid, camid=camid, scene=scene)


def _number(where: str, cells: Mapping[str, str], column: str, if_empty: int | None) -> int:
    cell = cells[column]
    if not cell and if_empty is not None:
        return if_empty
    # Data frames turn whole numbers into 7.0 as soon as one is missing.
    if not re.fullmatch(r"\d+(\.0*)?", cell):
        empty = ", or leave it empty if the identity is not known" if column == "pid" else ""
        raise DataError(f"{where}: {column} is {cell!r}; write a whole number from 0{empty}")
    return int(cell.partition(".")[0])


def _check_files(
    path: Path, rows: Sequence[Row], splits: Mapping[str, Sequence[Record]], modalities: Sequence[str]
) -> None:
    missing = [
        f"row {row.number}: {row.cells[name]}"
        for row in rows
        for name in modalities
        if not (path.parent / row.cells[name]).exists()
    ]
    if missing:
        raise DataError(
            f"{path}: {len(missing)} files do not exist: {shortlist(missing)}. Paths are relative to {path.parent}."
        )
    for split, records in splits.items():
        uses: defaultdict[Path, int] = defaultdict(int)
        for record in records:
            for image in record.images:
                uses[image.path] += 1
        if repeated := sorted(str(file) for file, count in uses.items() if count > 1):
            raise DataError(
                f"{path}: {len(repeated)} files occur in several rows of the split {split}: {shortlist(repeated)}. "
                f"Keep one row of each."
            )
