"""Read data of your own from a table, CSV or Parquet: each row is a triple, whose files may be anywhere.

Columns: `split` (train, query, gallery), `R`, `N`, `T` (paths, relative to the table's folder or absolute; a set that
lacks a modality has no such column, or an empty one), `pid` and `camid` (whole numbers from 0), and, for the removal
rule of scenes, `scene`. A triple with an empty `pid` has no identity; this is allowed in every split. The removal rule
is 'same pid and same scene' if `scene` is filled, and 'same pid and same camid' if the column is absent or empty.
"""

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from data_pipelines.checking.checks import checked_dataset, gathered_warnings
from data_pipelines.reading.folders import shortlist
from data_pipelines.reading.manifest_tables import Row, read_rows
from data_pipelines.reading.numbers import numbered_record
from data_pipelines.reading.records import MODALITIES, SPLITS, DataError, Dataset, Facts, ImageRef, Record

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
    """Read the records of the table `root`, or of `manifest.csv` or `manifest.parquet` in the folder `root`."""
    path = _find(root)
    rows, unread = read_rows(path, required=REQUIRED, optional=OPTIONAL)
    if not rows:
        raise DataError(f"{path}: no row below the header; a row looks like {FACTS.example}")
    with gathered_warnings(_unread_warnings(unread)) as warnings:
        modalities = _filled(path, rows)
        by_scene = any(row.cells.get("scene") for row in rows)
        splits: dict[str, list[Record]] = {split: [] for split in SPLITS}
        for row in rows:
            splits[_split(path, row)].append(_record(path, row, modalities, by_scene=by_scene))
        _check_exist(path, rows, modalities)
        _check_used_once(path, splits)
        facts = replace(FACTS, removal="scene" if by_scene else "camid")
        present = {split: records for split, records in splits.items() if records}
        return checked_dataset(facts, path, present, warnings, modalities)


def read_triples(
    root: Path, wanted: Sequence[str] | None = None, known: Sequence[str] = MODALITIES
) -> tuple[Dataset, bool]:
    """Read the triples of a table whose features are wanted, and tell whether they are in splits.

    Only the columns of paths are needed: those of the modalities `wanted`, or those of `known` that are filled. Any
    split may be missing, and without a column `split` all triples are given as queries. An empty pid or camid is -1.
    """
    path = _find(root)
    rows, unread = read_rows(path, required=(), optional=(*MODALITIES, *REQUIRED))
    if not rows:
        raise DataError(f"{path}: no row below the header; a row looks like {FACTS.example}")
    filled = _filled(path, rows)
    if lacking := [name for name in wanted or () if name not in filled]:
        raise DataError(
            f"{path}: no path in the column {', '.join(lacking)}; fill it, or ask for {', '.join(filled)}"
        )
    modalities = tuple(name for name in filled if name in (wanted or known)) or filled
    has_splits = any(row.cells.get("split") for row in rows)
    splits: dict[str, list[Record]] = {split: [] for split in SPLITS}
    with gathered_warnings(_unread_warnings([name for name in unread if name != "scene"])) as warnings:
        for row in rows:
            split = _split(path, row) if has_splits else "query"
            splits[split].append(_record_of_row(path, row, modalities))
        _check_exist(path, rows, modalities)
    found = {split: tuple(records) for split, records in splits.items()}
    return Dataset(FACTS.name, path, found, FACTS.removal, tuple(warnings), modalities), has_splits


def _record_of_row(path: Path, row: Row, modalities: Sequence[str]) -> Record:
    where = f"{path}, row {row.number}"
    cells = {"pid": "", "camid": ""} | row.cells
    camid = _digits(where, cells, "camid", may_be_empty=True)
    pid = _digits(where, cells, "pid", may_be_empty=True)
    record = numbered_record(
        _images(where, path, cells, modalities), pid=pid, camid=camid or "0", where=where
    )
    return record if camid else replace(record, camid=-1)


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


def _unread_warnings(unread: Sequence[str]) -> tuple[str, ...]:
    return (f"{FACTS.name}: columns that are not read: {shortlist(unread, 20)}",) if unread else ()


def _filled(path: Path, rows: Sequence[Row]) -> tuple[str, ...]:
    """List the modalities of which any row has a path."""
    found = tuple(name for name in MODALITIES if any(row.cells.get(name) for row in rows))
    if not found:
        raise DataError(
            f"{path}: no path in any of the columns {', '.join(MODALITIES)}; fill those there are"
        )
    return found


def _split(path: Path, row: Row) -> str:
    split = row.cells["split"]
    if split not in SPLITS:
        near = [name for name in SPLITS if name == split.casefold()]
        hint = f"; did you mean {near[0]}?" if near else ""
        raise DataError(f"{path}, row {row.number}: split is {split!r}; write {', '.join(SPLITS)}{hint}")
    return split


def _record(path: Path, row: Row, modalities: Sequence[str], *, by_scene: bool) -> Record:
    cells, where = row.cells, f"{path}, row {row.number}"
    images = _images(where, path, cells, modalities)
    # Training triples and those of unknown identity are never removed from a list, so their scene may be unknown.
    may_lack_scene = cells["split"] == "train" or not cells["pid"]
    return numbered_record(
        images,
        pid=_digits(where, cells, "pid", may_be_empty=True),
        camid=_digits(where, cells, "camid", may_be_empty=False),
        scene=_digits(where, cells, "scene", may_be_empty=may_lack_scene) if by_scene else "",
        where=where,
    )


def _images(
    where: str, path: Path, cells: Mapping[str, str], modalities: Sequence[str]
) -> tuple[ImageRef, ...]:
    if missing := [name for name in modalities if not cells[name]]:
        raise DataError(
            f"{where}: no path in {', '.join(missing)}, which other rows have; fill it, remove the row, or "
            f"remove the column: a modality is there in every row or in none"
        )
    images = tuple(ImageRef(_file(path, cells[name])) for name in modalities)
    if len({image.path for image in images}) < len(images):
        raise DataError(f"{where}: one file stands for two modalities; give each its own")
    return images


def _file(path: Path, cell: str) -> Path:
    # The name has the bytes of the table; if the locale is not UTF-8, Python would look for another name.
    return path.parent / os.fsdecode(cell.encode("utf-8", "surrogateescape"))


def _digits(where: str, cells: Mapping[str, str], column: str, *, may_be_empty: bool) -> str:
    """Read the digits of a whole number, also from 7.0, which data frames write as soon as a value is missing."""
    cell = cells[column]
    if not cell and may_be_empty:
        return ""
    if re.fullmatch(r"[0-9]{1,3}\.000", cell):
        raise DataError(
            f"{where}: {column} is {cell!r}, which is {cell[:-4]} in one country and {cell[:-4]}000 in another; "
            f"write the digits only"
        )
    if not re.fullmatch(r"[0-9]+(\.0*)?", cell):
        hint = ", or leave it empty if the identity is not known" if column == "pid" else ""
        if re.fullmatch(r"[0-9.]+[eE][+-]?[0-9]+", cell):
            hint = ", with all its digits; a spreadsheet or data frame has shortened this one"
        elif re.fullmatch(r"[0-9]{1,3}([,.'\s][0-9]{3})+", cell):
            hint = ", without separators"
        raise DataError(f"{where}: {column} is {cell!r}; write a whole number from 0{hint}")
    return cell.partition(".")[0]


def _check_exist(path: Path, rows: Sequence[Row], modalities: Sequence[str]) -> None:
    missing = [
        f"row {row.number}: {row.cells[name]}"
        for row in rows
        for name in modalities
        if not os.path.exists(_file(path, row.cells[name]))  # noqa: PTH110 (a name that is too long does not exist)
    ]
    if missing:
        hint = " Folders are separated by /, not by \\." if any("\\" in name for name in missing) else ""
        raise DataError(
            f"{path}: {len(missing)} files do not exist: {shortlist(missing)}. Paths are relative to {path.parent}."
            f"{hint}"
        )


def _check_used_once(path: Path, splits: Mapping[str, Sequence[Record]]) -> None:
    for split, records in splits.items():
        uses: defaultdict[Path, int] = defaultdict(int)
        for record in records:
            for image in record.images:
                # One file may be written in several ways: ./a.png, b/../a.png.
                uses[image.path.parent.resolve() / image.path.name] += 1
        if repeated := sorted(str(file) for file, count in uses.items() if count > 1):
            raise DataError(
                f"{path}: {len(repeated)} files occur in several rows of the split {split}: {shortlist(repeated)}. "
                f"Keep one row of each."
            )
