"""The types of a triple and of a data set."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from data_pipelines.reading.printable import printable

MODALITIES = ("R", "N", "T")
"""RGB, near-infrared, thermal infrared. Every modality axis in this project has this order."""

SPLITS = ("train", "query", "gallery")

UNLABELLED = -1
"""The pid of a triple whose identity is unknown. It matches no other triple, not even another unlabelled one."""

Removal = Literal["camid", "scene", "none"]
"""A gallery triple is removed from a query's list if it shows the same pid and the same camid, or scene; or none is."""

NO_GROUP = -1
"""The number of a camera or a scene that is unknown, or that no rule compares. Triples with it share nothing."""


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
    """One triple: pixel-aligned images of one object in the order of `MODALITIES`, without modalities its set lacks."""

    images: tuple[ImageRef, ...]
    pid: int
    camid: int
    scene: int = -1
    written: tuple[str, str, str] = field(default=("", "", ""), compare=False)
    """The digits of pid, camid and scene as they are written in the name or the table; "" if there are none."""
    where: str = field(default="", compare=False)
    """The place of these digits, for messages: a path, or the row of a table."""

    @property
    def name(self) -> str:
        """The file name of the first image, which names the triple in messages."""
        # Read from its bytes, because Python decodes a good name wrongly if the locale is not UTF-8.
        return os.fsencode(self.images[0].path.name).decode("utf-8", "surrogateescape")

    def group(self, removal: Removal) -> int:
        """Give the camera or the scene of the triple, whichever the removal rule compares; −1 if it compares none."""
        return {"camid": self.camid, "scene": self.scene, "none": NO_GROUP}[removal]

    def shares_group(self, other: "Record", removal: Removal) -> bool:
        """Tell whether both triples are of one camera, or of one scene, as the removal rule compares them."""
        return self.group(removal) == other.group(removal) != NO_GROUP


@dataclass(frozen=True)
class Facts:
    """What is known about a data set before it is opened: the names of its root, its removal rule, its size."""

    name: str
    removal: Removal
    root_names: tuple[str, ...]
    example: str
    """An image name in the expected form, for error messages."""
    published: Mapping[str, tuple[int, int]]
    """For each split, the published numbers of triples and identities; empty for data of your own."""


@dataclass(frozen=True)
class Dataset:
    """A data set as it was found on disk: its records by split, its removal rule, and warnings."""

    name: str
    root: Path
    splits: Mapping[str, tuple[Record, ...]]
    """The records of each of `SPLITS`; a split that the set lacks is empty."""
    removal: Removal
    warnings: tuple[str, ...] = field(default=())
    modalities: tuple[str, ...] = MODALITIES
    """The modalities that the set has, the same in every record."""


class DataError(ValueError):
    """Data that cannot be used as it is; the message names the file, the rule and the remedy.

    Arguments: the message, then the entries of a list, if there is one. Each argument is shown on one line, even if a
    name in it holds line ends.
    """

    def __str__(self) -> str:
        return "\n  ".join(map(printable, self.args))
