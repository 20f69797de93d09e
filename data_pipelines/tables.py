"""CSV and Parquet as rows of text: what is empty or missing is an empty cell."""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_pipelines.records import DataError


@dataclass(frozen=True)
class Row:
    """One row: its cells by column, stripped, and its number for messages (the line of a CSV; Parquet from 1)."""

    number: int
    cells: dict[str, str]


def read_rows(path: Path) -> list[Row]:
    """All rows of a `.csv` (UTF-8, with a header) or a `.parquet` file (needs pyarrow)."""
    try:
        return list(_parquet_rows(path) if path.suffix.lower() == ".parquet" else _csv_rows(path))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 ({error.reason}); save it as CSV in UTF-8") from error
    except (OSError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def _csv_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets put a byte order mark in front
        reader = csv.DictReader(file, strict=True)
        for cells in reader:
            if None in cells or None in cells.values():
                raise DataError(
                    f"{path}, row {reader.line_num}: has not as many cells as the header; quote paths that hold commas"
                )
            yield Row(reader.line_num, {name.strip(): cell.strip() for name, cell in cells.items()})


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        import pyarrow.lib
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(f"{path}: reading Parquet needs pyarrow; pip install pyarrow") from error
    try:
        rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
    except pyarrow.lib.ArrowException as error:
        raise DataError(f"{path}: is not a Parquet file ({error})") from error
    for number, row in enumerate(rows, start=1):
        yield Row(number, {name: _text(value) for name, value in row.items()})


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value).strip()
