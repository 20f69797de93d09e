"""Read CSV and Parquet as rows of text; an empty or missing value is an empty cell."""

import codecs
import csv
import io
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_pipelines.reading.headers import check_delimiter, chosen_columns, is_header
from data_pipelines.reading.records import DataError

EXACT_FLOATS = {16: 2**11, 32: 2**24, 64: 2**53}
"""By the bits of a floating-point type: from this number on, neighbouring whole numbers become the same value."""

_MARKS = {
    "UTF-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),  # before UTF-16, whose mark begins alike
    "UTF-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}


@dataclass(frozen=True)
class Row:
    """One row: its cells by column, without white space around them, and its number for messages.

    The number is the line of a CSV; rows of Parquet are counted from 1.
    """

    number: int
    cells: dict[str, str]


def read_rows(
    path: Path, *, required: Sequence[str], optional: Sequence[str]
) -> tuple[list[Row], tuple[str, ...]]:
    """Read the rows of a `.csv` (UTF-8, with a header) or `.parquet` file (needs pyarrow); name the columns not read.

    A row has the cells of the required columns and of the optional ones that exist. Rows without a filled cell are left
    out. Raises DataError if the file cannot be read, or if its header can be read in two ways.
    """
    try:
        if path.suffix.lower() == ".parquet":
            rows, unread = _parquet_rows(path, required, optional)
        else:
            rows, unread = _csv_rows(path, required, optional)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    for row in rows:
        if is_header(row.cells):
            raise DataError(
                f"{path}, row {row.number}: is a header again, as where two tables were joined; remove the row, and "
                f"see that the columns below it are in the order of the first header"
            )
    return rows, unread


def _csv_rows(
    path: Path, required: Sequence[str], optional: Sequence[str]
) -> tuple[list[Row], tuple[str, ...]]:
    lines = _lines(path)
    _, names = next(lines, (0, []))
    if not names:
        return [], ()
    check_delimiter(path, names, (*required, *optional))  # or each row would be said to have too few cells
    if not set(map(str.strip, names)) & set(required):  # as where a title stands above the header
        chosen_columns(path, names, required=required, optional=optional)
    rows = []
    for number, cells in lines:
        if len(cells) != len(names):
            raise DataError(
                f"{path}, row {number}: has {len(cells)} cells, the header {len(names)}; quote paths that hold commas, "
                f"and remove commas at the end of a row and lines that are no rows"
            )
        if any(map(str.strip, cells)):
            rows.append((number, cells))
    places, unread = chosen_columns(path, names, required=required, optional=optional)
    named = [Row(number, {name: cells[i].strip() for name, i in places.items()}) for number, cells in rows]
    return named, unread


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, each with the number of its first line; a quoted cell may span lines."""
    reader = csv.reader(io.StringIO(_decoded(path), newline=""), strict=True, skipinitialspace=True)
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DataError(
                f"{path}, row {number}: cannot be read ({error}); is a quotation mark left open or out of place?"
            ) from error
        if cells is None:
            return
        if cells:
            yield number, cells


def _decoded(path: Path) -> str:
    content = path.read_bytes()
    for encoding, marks in _MARKS.items():
        if content.startswith(marks):
            raise DataError(
                f"{path}: is {encoding}, as spreadsheets save 'Unicode text'; save it as CSV in UTF-8"
            )
    if b"\0" in content:
        raise DataError(f"{path}: holds NUL bytes, as UTF-16 does and text does not; save it as CSV in UTF-8")
    try:
        return content.decode("utf-8-sig")  # spreadsheets put a byte order mark in front
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, row {row}: is not UTF-8 ({error.reason}); save it as CSV in UTF-8"
        ) from error


def _parquet_rows(
    path: Path, required: Sequence[str], optional: Sequence[str]
) -> tuple[list[Row], tuple[str, ...]]:
    try:
        import pyarrow.lib
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(f"{path}: reading Parquet needs pyarrow; pip install pyarrow") from error
    try:
        # read_table would add a column for each folder of the path that is named like `split=train`.
        with pyarrow.parquet.ParquetFile(path) as file:
            table = file.read()
    except pyarrow.lib.ArrowException as error:
        raise DataError(f"{path}: is not a Parquet file ({error})") from error
    places, unread = chosen_columns(path, table.column_names, required=required, optional=optional)
    columns = {name: table.column(i).to_pylist() for name, i in places.items()}
    exact = {name: _exact_floats(table.column(i).type) for name, i in places.items()}
    rows = [
        Row(
            i + 1,
            {name: _text(path, i + 1, name, values[i], exact[name]) for name, values in columns.items()},
        )
        for i in range(table.num_rows)
    ]
    return [row for row in rows if any(row.cells.values())], unread


def _exact_floats(dtype: Any) -> int:
    """Give the smallest whole number that a column of pyarrow's type `dtype` cannot tell from its neighbour."""
    if hasattr(dtype, "value_type"):  # a categorical column, whose values are of another type
        dtype = dtype.value_type
    bits = {"halffloat": 16, "float": 32}.get(str(dtype), 64)
    return EXACT_FLOATS[bits]


def _text(path: Path, number: int, column: str, value: Any, exact: int) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and abs(value) >= exact:
        raise DataError(
            f"{path}, row {number}: {column} is {value!r}, a floating-point number of a size of which only whole "
            f"numbers below {exact} have all their digits; store the column as whole numbers or as text"
        )
    return os.fsdecode(value).strip() if isinstance(value, bytes) else str(value).strip()
