"""Answer what the page asks: which queries there are, and what the matches of one are."""

import base64
import binascii
import time
from collections.abc import Callable
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from data_pipelines.reading.printable import printable
from data_pipelines.reading.records import DataError
from data_pipelines.storing.images import DEEP_RANGE
from man_jax.engine.feature_images import FileImages, as_jpeg, data_url, decode_uploaded
from man_jax.engine.search_results import triple_names
from man_jax.retrieval.feature_file import FeatureFile
from man_jax.retrieval.gallery import Gallery, chosen_rows, found_rows

PAGE_OF_QUERIES = 60
"""Queries that the list shows at once."""
CHOICES = (5, 10, 20, 50, 100)
"""Numbers of matches to choose from, besides that of the command."""

Extract = Callable[[tuple[Image.Image, ...]], np.ndarray]
"""Turns one picture for each modality into a unit feature [1, D]."""


class RefusedError(Exception):
    """A question that cannot be answered: the HTTP status and one sentence."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status = status


class Searched(NamedTuple):
    """What the page searches, and how it is called."""

    gallery: Gallery
    queries: FeatureFile
    title: str
    summary: str
    k: int
    aspect: float
    """Width / height of an image."""
    extract: Extract | None = None
    """For pictures that are uploaded; None without a network."""
    deep_range: tuple[int, int] = DEEP_RANGE
    """Raw values that become 0 and 255 in uploaded pictures of more than 8 bits."""


class Answers:
    """The answers; every public method returns what JSON can hold, except `image`."""

    def __init__(self, searched: Searched):
        self._searched = searched
        self._files = {"query": searched.queries, "gallery": searched.gallery.file}
        self._names = {source: triple_names(file) for source, file in self._files.items()}
        self._images = {source: FileImages(file) for source, file in self._files.items()}
        self._network = Lock()  # one extraction at a time

    def about(self) -> dict[str, Any]:
        """Describe what is searched."""
        searched = self._searched
        return {
            "title": searched.title,
            "summary": searched.summary,
            "modalities": list(searched.queries.modalities),
            "k": searched.k,
            "choices": sorted({*CHOICES, searched.k}),
            "aspect": searched.aspect,
            "uploads": searched.extract is not None,
        }

    def queries(self, *, text: str, start: int) -> dict[str, Any]:
        """List some of the queries whose name contains `text`, or whose pid it gives, as in "pid 12"."""
        file, wanted = self._files["query"], text.strip().casefold()
        kind, _, number = wanted.partition(" ")
        if kind == "pid" and number.strip().isdigit():
            rows = np.flatnonzero(file.pids == int(number)).tolist()
        else:
            rows = [row for row in range(len(file.paths)) if wanted in self._names["query"][row].casefold()]
        chosen = rows[start : start + PAGE_OF_QUERIES]
        return {"total": len(rows), "queries": [self._entry("query", row) for row in chosen]}

    def matches(self, *, source: str, row: int, k: int) -> dict[str, Any]:
        """Find the matches of a triple that is in the queries or in the gallery."""
        query = chosen_rows(self._file(source, row), [row])
        return self._searched_for(query, self._entry(source, row), k)

    def upload(self, payload: Any) -> dict[str, Any]:
        """Find the matches of pictures that the page sends; nothing of them is kept."""
        searched = self._searched
        if searched.extract is None:
            raise RefusedError(
                403, "This command has no network; start it with --run to search with pictures."
            )
        modalities = searched.queries.modalities
        contents, names = _uploaded(payload, modalities)
        try:
            pictures = tuple(
                decode_uploaded(content, name, searched.deep_range)
                for content, name in zip(contents, names, strict=True)
            )
            with self._network:
                features = searched.extract(pictures)
        except DataError as error:
            raise RefusedError(400, str(error)) from None
        images = [data_url(picture) for picture in pictures]
        unknown = np.array([-1])
        query = FeatureFile(features, [("",) * len(images)], modalities, unknown, unknown, {})
        name = ", ".join(dict.fromkeys(names))
        entry = {"row": None, "name": name, "pid": -1, "camid": -1, "images": images}
        return self._searched_for(query, entry, _number(payload.get("k"), "k"))

    def image(self, *, source: str, row: int, modality: str) -> bytes:
        """Read an image that a feature file names, as a JPEG for the screen."""
        file = self._file(source, row)
        if modality not in file.modalities:
            raise RefusedError(404, f"There is no modality {printable(modality)}.")
        try:
            return as_jpeg(self._images[source].open(row, file.modalities.index(modality)))
        except DataError as error:
            raise RefusedError(404, str(error)) from None

    def _searched_for(self, query: FeatureFile, entry: dict[str, Any], k: int) -> dict[str, Any]:
        gallery = self._searched.gallery
        if not 1 <= k <= max(*CHOICES, self._searched.k):
            raise RefusedError(400, f"k must be from 1 to {max(*CHOICES, self._searched.k)}.")
        start = time.perf_counter()
        found = gallery.search(query, k=k)
        seconds = time.perf_counter() - start
        rows = found_rows(found.rows[0])
        judged = gallery.judge(int(query.pids[0]), rows)
        matches = [
            self._entry("gallery", int(row)) | {"distance": float(distance), "right": right}
            for row, distance, right in zip(rows, found.distances[0], judged, strict=False)
        ]
        return {"query": entry, "matches": matches, "seconds": seconds}

    def _file(self, source: str, row: int) -> FeatureFile:
        if source not in self._files:
            raise RefusedError(404, f"There is no list {printable(source)}.")
        file = self._files[source]
        if not 0 <= row < len(file.paths):
            raise RefusedError(404, f"There is no triple {row}; the last is {len(file.paths) - 1}.")
        return file

    def _entry(self, source: str, row: int) -> dict[str, Any]:
        file = self._files[source]
        return {
            "row": row,
            "name": self._names[source][row],
            "pid": int(file.pids[row]),
            "camid": int(file.camids[row]),
            "images": [
                f"/image/{source}/{row}/{modality}" if path else None
                for modality, path in zip(file.modalities, file.paths[row], strict=True)
            ],
        }


def _uploaded(payload: Any, modalities: tuple[str, ...]) -> tuple[list[bytes], list[str]]:
    """Take the bytes and the name of one picture for each modality; RefusedError if one is missing."""
    images = payload.get("images") if isinstance(payload, dict) else None
    if not isinstance(images, dict) or set(images) != set(modalities):
        raise RefusedError(400, f"Send one picture for each of the modalities {', '.join(modalities)}.")
    try:
        contents = [base64.b64decode(images[each]["content"], validate=True) for each in modalities]
        return contents, [printable(images[each]["name"]) for each in modalities]
    except (KeyError, TypeError, binascii.Error, ValueError):
        raise RefusedError(400, "A picture did not arrive whole; send it again.") from None


def _number(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise RefusedError(400, f"{name} must be a whole number.")
    return value
