"""Take images that a program gives, as paths, Pillow's images or arrays, in place of those of a data set."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_pipelines.reading.records import DataError, ImageRef
from data_pipelines.storing.images import MAX_PIXELS, MIN_SIDE, open_picture, scale_deep

KINDS = "a path, an image of Pillow, or an array uint8 [H, W, 3] or [H, W]"
_DEEP_MODES = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})


def path_of(image: Any) -> Path | None:
    """Give the whole path of an image that is given as one; None for pixels."""
    return Path(os.fsdecode(image)).absolute() if isinstance(image, str | bytes | os.PathLike) else None


def check_given(image: Any, where: str) -> None:
    """Check the kind and the size of given pixels, without a look at their values; DataError says `where` it is."""
    if path_of(image) is not None:
        return
    if isinstance(image, Image.Image):
        if image.mode == "F":
            raise DataError(f"{where}: holds fractions (mode F); store it as integers of 8 or 16 bits")
        width, height = image.size
    else:
        array = _as_array(image, where)
        height, width = array.shape[:2]
    if min(width, height) < MIN_SIDE:
        raise DataError(f"{where}: is {width}x{height} pixels, at least {MIN_SIDE} a side are needed")
    if width * height > MAX_PIXELS:
        raise DataError(
            f"{where}: is {width}x{height} pixels, at most {MAX_PIXELS:,} pixels are read; reduce it"
        )


def as_rgb(image: Any, where: str, deep_range: tuple[int, int]) -> Image.Image:
    """Turn a given image into 8-bit RGB as the file of a data set is: more than 8 bits are scaled from `deep_range`.

    Raises DataError, which says `where` it is, if it cannot be used.
    """
    if (path := path_of(image)) is not None:
        return open_picture(ImageRef(path), deep_range).image
    check_given(image, where)
    if isinstance(image, Image.Image) and image.mode not in _DEEP_MODES:
        return image.convert("RGB")
    array = np.asarray(image) if isinstance(image, Image.Image) else _as_array(image, where)
    if array.dtype != np.uint8:
        low, high = int(array.min()), int(array.max())
        if low < 0 or high > 65535:
            raise DataError(
                f"{where}: holds values from {low} to {high}; at most 16 bits, 0 to 65535, are read"
            )
        array = scale_deep(array, deep_range)
    return Image.fromarray(array).convert("RGB")


def _as_array(image: Any, where: str) -> np.ndarray:
    """Check the type and the shape of an array; a last axis of length 1 is dropped."""
    if not hasattr(image, "__array__"):
        raise DataError(f"{where}: is {type(image).__name__}; give {KINDS}")
    array = np.asarray(image)
    if array.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"{where}: is an array of {array.dtype}; give uint8 from 0 to 255, or uint16 if it has more than 8 bits"
        )
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] != 3):
        raise DataError(f"{where}: is an array of shape {list(array.shape)}; an image is [H, W, 3] or [H, W]")
    return array
