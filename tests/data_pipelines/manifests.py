"""Tables of a small set, row by row, as people's programs write them, with the pictures they name."""

import io
from collections.abc import Sequence
from pathlib import Path

import pyarrow
import pyarrow.parquet
from PIL import Image

HEADER = ("split", "R", "N", "T", "pid", "camid")
ROWS = (
    ("train", "r/1.jpg", "n/1.jpg", "t/1.jpg", "7", "1"),
    ("train", "r/2.jpg", "n/2.jpg", "t/2.jpg", "8", "2"),
    ("query", "r/3.jpg", "n/3.jpg", "t/3.jpg", "90", "1"),
    ("gallery", "r/4.jpg", "n/4.jpg", "t/4.jpg", "90", "2"),
)


def write_pictures(base: Path, rows: Sequence[Sequence[str]] = ROWS) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9)).save(buffer, "JPEG")
    for row in rows:
        for name in row[1:4]:
            (base / name).parent.mkdir(parents=True, exist_ok=True)
            (base / name).write_bytes(buffer.getvalue())


def write_csv(
    base: Path,
    header: Sequence[str] = HEADER,
    rows: Sequence[Sequence[str]] = ROWS,
    *,
    delimiter: str = ",",
    encoding: str = "utf-8",
) -> Path:
    write_pictures(base)
    path = base / "mine.csv"
    text = "".join(delimiter.join(row) + "\n" for row in (header, *rows))
    path.write_bytes(text.encode(encoding))
    return path


def write_parquet(
    base: Path, header: Sequence[str] = HEADER, rows: Sequence[Sequence[object]] = ROWS
) -> Path:
    write_pictures(base)
    path = base / "mine.parquet"
    columns = [pyarrow.array(column) for column in zip(*rows, strict=True)]
    pyarrow.parquet.write_table(pyarrow.table(columns, names=list(header)), path)
    return path


def with_cell(row: int, column: str, value: str) -> list[tuple[str, ...]]:
    """ROWS with one other cell."""
    place = HEADER.index(column)
    return [
        (*cells[:place], value, *cells[place + 1 :]) if i == row else cells for i, cells in enumerate(ROWS)
    ]


def with_column(name: str, value: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """HEADER and ROWS with a column more."""
    return (*HEADER, name), [(*row, value) for row in ROWS]


def renamed(column: str, name: str) -> tuple[str, ...]:
    return tuple(name if each == column else each for each in HEADER)
