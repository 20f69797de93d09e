"""From a record to pixels: open, verify, crop and resize one triple."""

from pathlib import Path

import numpy as np
from PIL import Image

from data_pipelines.records import DataError, ImageRef, Record

_DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def read_triple(record: Record, image_size: tuple[int, int]) -> np.ndarray:
    """The triple as uint8 [3, H, W, 3], resized to `image_size` = (H, W).

    The filter is Pillow's BILINEAR, whose support grows with the reduction, so it does not alias.
    """
    pictures: dict[Path, Image.Image] = {}  # RGBNT100 keeps three images in one file: decode it once
    height, width = image_size
    triple = np.empty((len(record.images), height, width, 3), np.uint8)
    for m, ref in enumerate(record.images):
        if ref.path not in pictures:
            pictures[ref.path] = _open_rgb(ref)
        picture = pictures[ref.path]
        # Crop first: `resize(box=...)` would let the neighbouring modality bleed in at the seam.
        image = picture if ref.box is None else picture.crop(ref.box)
        triple[m] = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    return triple


def _open_rgb(ref: ImageRef) -> Image.Image:
    try:
        with Image.open(ref.path) as image:
            image.load()
            mode = image.mode
            picture = image.convert("RGB")
    # Pillow has no error class of its own: broken PNGs, for one, raise SyntaxError.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{ref.path}: cannot be read as an image ({error}); restore or remove it") from error
    if mode in _DEEP_MODES:
        raise DataError(f"{ref.path}: has more than 8 bits per channel (mode {mode}); convert it to 8 bits")
    if ref.file_size is not None and picture.size != ref.file_size:
        found, expected = ("x".join(map(str, size)) for size in (picture.size, ref.file_size))
        raise DataError(f"{ref.path}: is {found} pixels, expected {expected} (width x height)")
    return picture
