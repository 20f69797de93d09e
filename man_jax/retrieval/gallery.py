"""Search a gallery of features: which rows may be matches, which are near, and which of them are right."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np

from man_jax.retrieval.errors import FeatureFileError
from man_jax.retrieval.feature_file import FeatureFile
from man_jax.retrieval.index import NONE, Matches, nearest_rows, recall
from man_jax.retrieval.sketches import SketchIndex

LeftOut = Literal["itself", "camera", "nothing"]
LEFT_OUT: Final[tuple[LeftOut, ...]] = ("itself", "camera", "nothing")
"""Which gallery triples may not be matches of a query: the query itself (the same image files); besides it those of
the query's pid and camid, as the field's protocol asks; or none."""

SAME_NETWORK = ("digest", "image_size")
"""Entries of `about` that are the same if features can be compared, where both files tell of them."""
TOLD = ("run", "weights", "image_size", "digest")
"""Entries of `about` by which a message names a network."""
NUM_MEASURED = 100
"""Queries on which the recall of an index is measured."""


class Gallery:
    """A gallery's features, in which queries are searched: exactly, or by an index."""

    def __init__(self, file: FeatureFile, *, leave_out: LeftOut = "itself", index: SketchIndex | None = None):
        self.file = file
        self.index = index
        self._leave_out = leave_out
        self._same_files: dict[tuple[str, ...], list[int]] = defaultdict(list)
        self._same_camera: dict[tuple[int, int], list[int]] = defaultdict(list)
        if leave_out != "nothing":
            for row, paths in enumerate(file.paths):
                if any(paths):
                    self._same_files[_absolute(paths)].append(row)
        if leave_out == "camera":
            for row, (pid, camid) in enumerate(zip(file.pids.tolist(), file.camids.tolist(), strict=True)):
                if pid >= 0:
                    self._same_camera[pid, camid].append(row)

    def search(self, query: FeatureFile, *, k: int) -> Matches:
        """Find the k best matches of each query; fewer where the gallery has no more."""
        left_out = self.left_out(query)
        if self.index is None:
            return nearest_rows(query.features, self.file.features, k=k, left_out=left_out)
        return self.index.search(query.features, self.file.features, k=k, left_out=left_out)

    def measure_recall(self, query: FeatureFile, *, k: int) -> tuple[float, int]:
        """Compare the index with the exact search on some queries; give the recall and the number of queries."""
        if self.index is None:
            return 1.0, 0
        places = spread(len(query.features), NUM_MEASURED)
        some = chosen_rows(query, places)
        left_out = self.left_out(some)
        exact = nearest_rows(some.features, self.file.features, k=k, left_out=left_out)
        found = self.index.search(some.features, self.file.features, k=k, left_out=left_out)
        return recall(found, exact), len(places)

    def left_out(self, query: FeatureFile) -> list[np.ndarray]:
        """Find for each query the gallery rows that may not be matches of it."""
        return [
            np.array(
                sorted(
                    {*self._same_files.get(_absolute(paths), ()), *self._same_camera.get((pid, camid), ())}
                ),
                np.int64,
            )
            for paths, pid, camid in zip(query.paths, query.pids.tolist(), query.camids.tolist(), strict=True)
        ]

    def judge(self, pid: int, rows: np.ndarray) -> list[bool | None]:
        """Tell of each gallery row whether it shows the identity `pid`; None where one of both is unknown."""
        found = self.file.pids[rows].tolist()
        return [None if pid < 0 or other < 0 else other == pid for other in found]


def spread(number: int, most: int) -> list[int]:
    """Choose at most `most` places of `number`, evenly."""
    return sorted({place * number // most for place in range(most)}) if number > most else list(range(number))


def chosen_rows(file: FeatureFile, rows: Sequence[int]) -> FeatureFile:
    """Take some triples of a file."""
    places = np.asarray(rows, np.int64)
    return file._replace(
        features=file.features[places],
        paths=[file.paths[row] for row in rows],
        pids=file.pids[places],
        camids=file.camids[places],
    )


def found_rows(rows: np.ndarray) -> np.ndarray:
    """Take those places of a list of matches that a short gallery could fill."""
    return rows[rows != NONE]


def with_unit_rows(file: FeatureFile, name: str) -> FeatureFile:
    """Make the length of each feature 1; FeatureFileError names `name` and the row if one is not finite or 0."""
    if not len(file.features):
        raise FeatureFileError(f"{name}: has no triple; write the features of at least one")
    lengths = np.sqrt(np.einsum("nd,nd->n", file.features, file.features))
    if len(broken := np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))):
        row = int(broken[0])
        what = "only zeros" if lengths[row] == 0 else "values that are not finite"
        raise FeatureFileError(
            f"{name}: {len(broken)} of {len(lengths)} features cannot be compared, the first is row {row}, which has "
            f"{what}; write the features again"
        )
    if np.allclose(lengths, 1, rtol=0, atol=1e-6):
        return file
    return file._replace(features=file.features / lengths[:, None].astype(np.float32))


def check_comparable(query: FeatureFile, gallery: FeatureFile, names: tuple[str, str]) -> None:
    """Check that features of two files can be compared; FeatureFileError, which calls the files by `names`, if not."""
    if query.modalities != gallery.modalities:
        raise FeatureFileError(
            f"{names[0]} has features of the modalities {''.join(query.modalities)}, {names[1]} of "
            f"{''.join(gallery.modalities)}; extract both from the same modalities"
        )
    if query.features.shape[1] != gallery.features.shape[1]:
        raise FeatureFileError(
            f"{names[0]} has features of {query.features.shape[1]:,} numbers, {names[1]} of "
            f"{gallery.features.shape[1]:,}; extract both by the same run"
        )
    check_same_network(query.about, gallery.about, names)


def check_same_network(query: Mapping[str, Any], gallery: Mapping[str, Any], names: tuple[str, str]) -> None:
    """Check what two files tell of their network, as far as both do; FeatureFileError if it differs."""
    if any(key in query and key in gallery and query[key] != gallery[key] for key in SAME_NETWORK):
        raise FeatureFileError(
            f"{names[0]} and {names[1]} are not of the same network, so distances between their features mean nothing: "
            f"one is of {_network(query)}, the other of {_network(gallery)}; extract both by the same run"
        )


def _network(about: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {about[key]}" for key in TOLD if key in about)


def _absolute(paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(os.path.abspath(each) if each else "" for each in paths)  # noqa: PTH100  (a link stays a link)
