"""Open the images that feature files name, for a screen or for a picture of ranking lists."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from data_pipelines.reading.records import DataError, ImageRef
from data_pipelines.storing.images import DEEP_RANGE, decode_picture, open_picture
from man_jax.retrieval.feature_file import FeatureFile

LONGEST_SIDE = 320
"""Pixels of an image on the screen; larger ones are reduced."""
HEIGHT, WIDEST = 128, 256
"""Pixels of an image in a picture of ranking lists."""
ABSENT = 200
"""The grey of an image that cannot be read."""

Box = tuple[int, int, int, int]


class FileImages:
    """The images that a feature file names, each opened when it is asked for."""

    def __init__(self, file: FeatureFile):
        self._file = file
        self._deep_range = deep_range_of(file)
        self._boxes = _boxes_of(file)

    def open(self, row: int, place: int) -> Image.Image:
        """Open the image of one modality, by its place; DataError if it cannot be read."""
        if not (path := self._file.paths[row][place]):
            raise DataError(f"triple {row} has no image of the modality {self._file.modalities[place]}")
        image = open_picture(ImageRef(Path(path)), self._deep_range).image
        if not self._boxes:
            return image
        left, top, right, bottom = self._boxes[place]
        if right > image.width or bottom > image.height:
            raise DataError(
                f"{path}: is {image.width}x{image.height} pixels, and the part {self._boxes[place]} is shown"
            )
        return image.crop((left, top, right, bottom))

    def triple(self, row: int, size: tuple[int, int]) -> tuple[np.ndarray, int]:
        """Read a triple as uint8 [M, H, W, 3], grey where an image cannot be read; and count those images."""
        height, width = size
        pixels = np.full((len(self._file.modalities), height, width, 3), ABSENT, np.uint8)
        num_absent = 0
        for place in range(len(pixels)):
            try:
                pixels[place] = np.asarray(self.open(row, place).resize((width, height)))
            except DataError:
                num_absent += 1
        return pixels, num_absent

    def size(self) -> tuple[int, int]:
        """Choose (height, width) for all triples in a picture, by the shape of the first image that can be read."""
        for row in range(min(len(self._file.paths), 20)):
            try:
                image = self.open(row, 0)
            except DataError:
                continue
            return HEIGHT, min(max(round(HEIGHT * image.width / image.height), HEIGHT // 4), WIDEST)
        return HEIGHT, HEIGHT


def deep_range_of(file: FeatureFile) -> tuple[int, int]:
    """Find the raw values that became 0 and 255 when the features were made."""
    match file.about.get("deep_range"):
        case [int(low), int(high)] if 0 <= low < high:
            return low, high
    return DEEP_RANGE


def as_jpeg(image: Image.Image) -> bytes:
    """Make a JPEG for the screen, reduced if the image is large; `image` itself may become smaller."""
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90, subsampling=0)
    return buffer.getvalue()


def data_url(image: Image.Image) -> str:
    """Write an image as a data URL."""
    return "data:image/jpeg;base64," + base64.b64encode(as_jpeg(image)).decode()


def decode_uploaded(content: bytes, name: str, deep_range: tuple[int, int]) -> Image.Image:
    """Read the bytes of an uploaded picture; DataError names it."""
    return decode_picture(content, ImageRef(Path(name)), deep_range).image


def _boxes_of(file: FeatureFile) -> Sequence[Box] | None:
    """Find the part of its file that each modality is, where several lie in one file."""
    boxes = file.about.get("boxes")
    if not isinstance(boxes, list) or len(boxes) != len(file.modalities):
        return None
    plain = [box for box in boxes if isinstance(box, list) and len(box) == 4 and all(map(_is_place, box))]
    good = [(box[0], box[1], box[2], box[3]) for box in plain if box[0] < box[2] and box[1] < box[3]]
    return good if len(good) == len(boxes) else None


def _is_place(value: object) -> bool:
    return type(value) is int and value >= 0
