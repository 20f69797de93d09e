"""What a triple is, and what a data set must say about itself."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from data_pipelines.reading.printable import printable

MODALITIES = ("R", "N", "T")
"""RGB, near-infrared, thermal infrared: the order of every modality axis in this project."""

SPLITS = ("train", "query", "gallery")

UNLABELLED = -1
"""The pid of a triple whose identity is not known; it is nobody's match, not even another such triple's."""

Removal = Literal["camid", "scene"]
"""A gallery triple is removed from a query's list if it shows the same pid and the same camid (or scene)."""


@dataclass(frozen=True)
class ImageRef:
    """One image: a file, or the crop `box` = (left, top, right, bottom) of it in pixels.

    `file_size` = (width, height) is what the whole file must measure; None accepts any size.
    """

    path: Path
    box: tuple[int, int, int, int] | None = None
    file_size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Record:
    """One triple of pixel-aligned images of one object, in the order of `MODALITIES`, without those its set lacks."""

    images: tuple[ImageRef, ...]
    pid: int
    camid: int
    scene: int = -1
    written: tuple[str, str, str] = field(default=("", "", ""), compare=False)
    """The digits of pid, camid and scene as they stand in the name or the table; empty where there are none."""
    where: str = field(default="", compare=False)
    """Where those stand, for messages: a path, or the row of a table."""

    @property
    def name(self) -> str:
        """The file name of the first image, by which people know the triple."""
        # From its bytes: where the locale is not UTF-8, Python has decoded a good name wrongly.
        return os.fsencode(self.images[0].path.name).decode("utf-8", "surrogateescape")

    def group(self, removal: Removal) -> int:
        """The camera or the scene of the triple, whichever the removal rule compares."""
        return self.camid if removal == "camid" else self.scene


@dataclass(frozen=True)
class Facts:
    """What is known of a data set before it is opened: the names its root goes by, its rule, its size."""

    name: str
    removal: Removal
    root_names: tuple[str, ...]
    example: str
    """An image name in the expected form, for error messages."""
    published: Mapping[str, tuple[int, int]]
    """Per split: how many triples and how many identities the publication counts; empty for data of one's own."""


@dataclass(frozen=True)
class Dataset:
    """A data set as found on disk: its records by split, its removal rule, and what was wrong with it."""

    name: str
    root: Path
    splits: Mapping[str, tuple[Record, ...]]
    """All of `SPLITS`; one that the set lacks is empty."""
    removal: Removal
    warnings: tuple[str, ...] = field(default=())
    modalities: tuple[str, ...] = MODALITIES
    """Which of `MODALITIES` there are, the same in every record."""


class DataError(ValueError):
    """Data that cannot be used as it is; the message names the file, the rule and the remedy.

    Arguments: the message, then a list's entries, if there is one; each is shown on a line of its own, whatever the
    names in it hold.
    """

    def __str__(self) -> str:
        return "\n  ".join(map(printable, self.args))
