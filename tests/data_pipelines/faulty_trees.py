"""Small data sets with faults that people's own data have, and what they mean: known from how they are made, not read.

A fault changes a sound set and says what may come of it: "accepted" where it is none in truth, "refused" where nobody
could know what is meant, "either" where both are right, as long as what is accepted is what was meant and is said.
"""

import csv
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

MODALITIES = ("R", "N", "T")
SIDE = 16
"""Pixels; sets are prepared at this size, so that no filter comes between."""
DEEP_RANGE = (1000, 9000)

Fate = Literal["accepted", "refused", "either"]


@dataclass(frozen=True)
class Picture:
    """What a file is to show: uint8 [H, W, 3], or uint16 [H, W] or [H, W, 3]."""

    raw: np.ndarray
    suffix: str = ".png"


@dataclass(frozen=True)
class Meant:
    """A triple as its owner means it."""

    split: str
    pid: int
    camid: int
    tail: str
    pictures: tuple[Picture, ...]
    pid_text: str = ""

    def stem(self) -> str:
        return f"{self.pid_text or self.pid}_c{self.camid}_{self.tail}"


@dataclass
class Faulty:
    """A set in the making: its triples, and what is done to it once it is written."""

    triples: list[Meant]
    fate: Fate = "accepted"
    told: list[str] = field(default_factory=list)
    """What the report must hold if the set is accepted."""
    afterwards: list[Callable[[Path], None]] = field(default_factory=list)
    header: list[str] = field(default_factory=lambda: ["split", *MODALITIES, "pid", "camid"])
    cells: dict[tuple[int, str], str] = field(default_factory=dict)
    """Of a table: (row, column) → another text."""
    encoding: str = "utf-8"
    delimiter: str = ","

    def worsen(self, fate: Fate) -> None:
        """Keep the worse of the two fates."""
        order = ("accepted", "either", "refused")
        self.fate = max(self.fate, fate, key=order.index)


class Fault(NamedTuple):
    """One kind of fault, by its name."""

    name: str
    make: Callable[[Faulty, np.random.Generator], None]


def sound(rng: np.random.Generator) -> Faulty:
    """Two identities in train, two others in query and gallery, of two cameras."""
    triples = []
    for split, pids, camids in (
        ("train", (3, 4), (1, 2)),
        ("query", (11, 12), (1,)),
        ("gallery", (11, 12), (2, 3)),
    ):
        for pid in pids:
            for camid in camids:
                for count in range(2):
                    pictures = tuple(
                        Picture(rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)) for _ in MODALITIES
                    )
                    triples.append(Meant(split, pid, camid, f"{count:03d}", pictures))
    return Faulty(triples)


# --- writing


def png(raw: np.ndarray) -> bytes:
    """A PNG of 16 bits a channel, gray or colour, which Pillow cannot write."""
    height, width = raw.shape[:2]
    colour = 2 if raw.ndim == 3 else 0

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in raw)
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def write_picture(path: Path, picture: Picture) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if picture.raw.dtype == np.uint16:
        path.write_bytes(png(picture.raw))
    else:
        Image.fromarray(picture.raw).save(path)


def write_folders(faulty: Faulty, root: Path) -> Path:
    """The layout of `folder`."""
    for triple in faulty.triples:
        for name, picture in zip(MODALITIES, triple.pictures, strict=True):
            write_picture(root / triple.split / name / f"{triple.stem()}{picture.suffix}", picture)
    for change in faulty.afterwards:
        change(root)
    return root


def write_table(faulty: Faulty, root: Path) -> Path:
    """The layout of `manifest`, as CSV; the files are named by split and stem."""
    rows = []
    for number, triple in enumerate(faulty.triples):
        cells = {"split": triple.split, "pid": triple.pid_text or str(triple.pid), "camid": str(triple.camid)}
        for name, picture in zip(MODALITIES, triple.pictures, strict=True):
            cells[name] = f"files/{triple.split}_{triple.stem()}_{name}{picture.suffix}"
            write_picture(root / cells[name], picture)
        cells |= {column: text for (row, column), text in faulty.cells.items() if row == number}
        rows.append([cells.get(column.strip(), "5") for column in faulty.header])
    path = root / "manifest.csv"
    with path.open("w", newline="", encoding=faulty.encoding) as file:
        csv.writer(file, delimiter=faulty.delimiter).writerows([faulty.header, *rows])
    for change in faulty.afterwards:
        change(root)
    return path
