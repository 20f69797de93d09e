"""A prepared data set: images of one size in array_record shards, and the table of its triples.

M is the number of modalities that are loaded, in the order R, N, T.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, SupportsIndex

import numpy as np
import tensorflow_datasets as tfds

from data_pipelines.checking.contents import FILE as CONTENTS_FILE
from data_pipelines.checking.contents import Contents, read_contents
from data_pipelines.reading.records import NO_GROUP, SPLITS, DataError, Removal

ROW = ("pid", "camid", "scene", "name")
"""What is stored about a triple besides its images, in the table and in the shards."""

CHECKED_ROWS = 5
"""How many triples of a split are compared between the table and the shards each time they are opened."""


class TripleImages(Protocol):
    """Random access to triples, each uint8 [M, H, W, 3]."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: Any, /) -> np.ndarray: ...


class StoredImages:
    """The triples of one split in its shards, which are opened at the first read; a pickled copy opens them itself.

    `columns`: the places of the stored modalities to read; None reads all of them.
    """

    def __init__(self, directory: Path, split: str, columns: Sequence[int] | None = None):
        self.directory = directory
        self.split = split
        self.columns = None if columns is None else list(columns)

    def __len__(self) -> int:
        return len(self._triples)

    def __getitem__(self, index: SupportsIndex, /) -> np.ndarray:
        images = self._triples[index]["images"]
        return images if self.columns is None else images[self.columns]

    def row(self, index: int) -> dict[str, int | str]:
        """Read what the shards hold about a triple besides its images: pid, camid, scene and name."""
        stored = self._triples[index]
        name = stored["name"]
        row = {column: int(stored[column]) for column in ROW if column != "name"}
        return row | {"name": name.decode() if isinstance(name, bytes) else str(name)}

    def __getstate__(self) -> dict[str, object]:
        return {"directory": self.directory, "split": self.split, "columns": self.columns}

    @cached_property
    def _triples(self) -> Any:
        builder: Any = tfds.builder_from_directory(self.directory)  # its decorators hide the signatures
        return builder.as_data_source(self.split)


@dataclass(frozen=True, eq=False)
class PreparedSplit:
    """One split: the table of its N triples, and their images. A random-access source for grain."""

    pids: np.ndarray
    """int64 [N]; `camids` and `scenes` have the same form."""
    camids: np.ndarray
    scenes: np.ndarray
    names: list[str]
    removal: Removal
    images: TripleImages
    contents: Contents | None = None
    """Digests and looks of the files, if they were kept."""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """What `split_fingerprint` computed at the preparation: for the labels, and for each stored modality."""

    @property
    def groups(self) -> np.ndarray:
        """The numbers that the removal rule compares: `camids` or `scenes`, int64 [N]; −1 if it compares none."""
        none = np.full_like(self.camids, NO_GROUP)
        return {"camid": self.camids, "scene": self.scenes, "none": none}[self.removal]

    def __len__(self) -> int:
        return len(self.pids)

    def __getitem__(self, index: SupportsIndex) -> np.ndarray:
        """Read the triple `index` as uint8 [M, H, W, 3], which must not be written to."""
        return self.images[index]

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Read the triples `indices` [B] into a new array, uint8 [B, M, H, W, 3]."""
        if isinstance(self.images, np.ndarray):
            return self.images[indices]
        return np.stack([self.images[int(index)] for index in indices])

    def only(self, indices: np.ndarray) -> "PreparedSplit":
        """Load the triples `indices` [B] as a split of their own, in this order."""
        return replace(
            self,
            pids=self.pids[indices],
            camids=self.camids[indices],
            scenes=self.scenes[indices],
            names=[self.names[int(index)] for index in indices],
            images=self.read(indices),
            contents=None,
            fingerprints={},
        )

    def in_memory(self) -> "PreparedSplit":
        """Load the split into one array, uint8 [N, M, H, W, 3]; every shard is read once, now."""
        images = np.empty((len(self), *self[0].shape), np.uint8)
        for i in range(len(self)):
            images[i] = self[i]
        return replace(self, images=images)


@dataclass(frozen=True, eq=False)
class PreparedDataset:
    """The splits of a data set at one image size (H, W), and the removal rule of its protocol.

    A split that the set lacks has no triple.
    """

    name: str
    removal: Removal
    modalities: tuple[str, ...]
    """Those of R, N, T that are loaded: the axis M of the images."""
    image_size: tuple[int, int]
    train: PreparedSplit
    query: PreparedSplit
    gallery: PreparedSplit

    def judged_by(self, removal: Removal) -> "PreparedDataset":
        """Give the data set, and all of its splits, another removal rule."""
        splits = {split: replace(getattr(self, split), removal=removal) for split in SPLITS}
        return replace(self, removal=removal, **splits)


def load(prepared_dir: Path, *, modalities: Sequence[str] | None = None) -> PreparedDataset:
    """Open what `builders.prepare` wrote and returned; the images stay on disk until they are read.

    `modalities`: which images of a triple to load; None loads all of them.
    """
    table = read_table(prepared_dir)
    if table is None:
        raise DataError(f"{prepared_dir}: not a prepared data set; give what builders.prepare returns")
    stored = table["modalities"]
    check_modalities(str(prepared_dir), stored, modalities)
    loaded = tuple(stored if modalities is None else modalities)
    columns = None if loaded == tuple(stored) else [stored.index(name) for name in loaded]
    splits = {split: _split(prepared_dir, split, table, columns) for split in SPLITS}
    height, width = table["image_size"]
    return PreparedDataset(table["name"], table["removal"], loaded, (height, width), **splits)


def check_modalities(name: str, present: Sequence[str], wanted: Sequence[str] | None) -> None:
    """Check that the data set, called `name` in messages, has the wanted modalities; DataError if not."""
    if missing := [modality for modality in wanted or () if modality not in present]:
        raise DataError(
            f"{name} has the modalities {', '.join(present)}, not {', '.join(missing)}; "
            f"set config.model.modalities to some of {tuple(present)!r}"
        )


def read_table(prepared_dir: Path) -> dict[str, Any] | None:
    """Read the table that `builders` stored beside the shards; None if there is no prepared data set."""
    if not (prepared_dir / "dataset_info.json").is_file():
        return None
    return dict(tfds.builder_from_directory(prepared_dir).info.metadata or {}) or None


def read_description(prepared_dir: Path) -> tuple[Any, ...] | None:
    """Read the name, the image size and the fingerprint in that table; None if it cannot be read.

    Another process may write or remove the folder meanwhile.
    """
    if not (prepared_dir / "dataset_info.json").is_file():
        return None
    try:
        table = json.loads((prepared_dir / "metadata.json").read_text(encoding="utf-8"))
        return table["name"], tuple(table["image_size"]), table["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _check_rows(prepared_dir: Path, split: str, columns: dict[str, Any], images: StoredImages) -> None:
    """Check on a few triples that shards and table belong together, which they may not after copying single files."""
    for index in sorted({int(place) for place in np.linspace(0, len(images) - 1, CHECKED_ROWS)}):
        stored = images.row(index)
        if wrong := [name for name in ROW if stored[name] != columns[name][index]]:
            raise DataError(
                f"{prepared_dir}: triple {index} of {split} has the {wrong[0]} {stored[wrong[0]]!r} in the shards and "
                f"{columns[wrong[0]][index]!r} in the table, so they are of two data sets; delete the folder and "
                f"prepare it again"
            )


def _stored_images(
    prepared_dir: Path, split: str, columns: dict[str, Any], modalities: Sequence[int] | None
) -> StoredImages:
    images = StoredImages(prepared_dir, split, modalities)
    if len(images) != len(columns["pid"]):
        raise DataError(
            f"{prepared_dir}: the shards of {split} hold {len(images)} triples, the table "
            f"{len(columns['pid'])}; delete the folder and prepare it again"
        )
    _check_rows(prepared_dir, split, columns, images)
    return images


def _split(
    prepared_dir: Path, split: str, table: dict[str, Any], modalities: Sequence[int] | None
) -> PreparedSplit:
    columns = table["splits"][split]
    if not columns["pid"]:  # a split that the set lacks has no shards
        num_modalities = len(table["modalities"] if modalities is None else modalities)
        images = np.empty((0, num_modalities, *table["image_size"], 3), np.uint8)
    else:
        images = _stored_images(prepared_dir, split, columns, modalities)
    return PreparedSplit(
        pids=np.asarray(columns["pid"], np.int64),
        camids=np.asarray(columns["camid"], np.int64),
        scenes=np.asarray(columns["scene"], np.int64),
        names=list(columns["name"]),
        removal=table["removal"],
        images=images,
        contents=read_contents(
            prepared_dir.parents[1] / CONTENTS_FILE, split, table["fingerprint"], modalities
        ),
        fingerprints=table["fingerprints"][split],
    )
