"""From a record to pixels: open, verify, crop and resize one triple.

Every image becomes 8-bit RGB. One channel is repeated three times. More than 8 bits are scaled from `deep_range`, which
is fixed for a data set: scaling each image by its own extremes would make a warm vehicle look like a cold one.
"""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from data_pipelines.records import DataError, ImageRef, Record

DEEP_RANGE = (0, 65535)
"""The raw values that become 0 and 255 where nothing else is said: all that 16 bits can hold."""

FORMATS = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
"""What is read, by Pillow's name, and how such files are called."""

MIN_SIDE = 8
"""Pixels; what is smaller shows no object and is most likely a placeholder."""
MAX_PIXELS = 50_000_000
MAX_BYTES = 500_000_000
"""Per file: a decoding bomb or a misplaced video must not take the memory of the machine."""

_DEEP_MODES = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Picture:
    """One decoded file: 8-bit RGB, and what had to be done to it."""

    image: Image.Image
    digest: str
    """Of the file's bytes."""
    notes: tuple[str, ...] = ()
    """What people should know of the file, such as "CMYK, converted to RGB"."""
    deep_values: tuple[int, int] | None = None
    """The least and the greatest raw value, if there were more than 8 bits."""


def read_triple(
    record: Record, image_size: tuple[int, int], deep_range: tuple[int, int] = DEEP_RANGE
) -> np.ndarray:
    """The triple as uint8 [M, H, W, 3], resized to `image_size` = (H, W).

    The filter is Pillow's BILINEAR, whose support grows with the reduction, so it does not alias.
    """
    pictures: dict[Path, Image.Image] = {}  # RGBNT100 keeps three images in one file: decode it once
    height, width = image_size
    triple = np.empty((len(record.images), height, width, 3), np.uint8)
    for m, ref in enumerate(record.images):
        if ref.path not in pictures:
            pictures[ref.path] = open_picture(ref, deep_range).image
        picture = pictures[ref.path]
        # Crop first: `resize(box=...)` would let the neighbouring modality bleed in at the seam.
        image = picture if ref.box is None else picture.crop(ref.box)
        triple[m] = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    return triple


def open_picture(ref: ImageRef, deep_range: tuple[int, int] = DEEP_RANGE) -> Picture:
    """The whole file of `ref` as 8-bit RGB; DataError names the file, the limit it breaks and the remedy."""
    path = ref.path
    try:
        if (num_bytes := path.stat().st_size) > MAX_BYTES:
            raise DataError(f"{path}: has {num_bytes:,} bytes, at most {MAX_BYTES:,} are read; remove it")
        content = path.read_bytes()
        with Image.open(io.BytesIO(content), formats=list(FORMATS)) as image:
            _check_size(ref, image)
            image.load()
            notes = _notes(path, image)
            picture, deep_values = _as_rgb(path, image, deep_range)
    except DataError:
        raise
    # Pillow has no error class of its own: broken PNGs, for one, raise SyntaxError.
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise DataError(
            f"{path}: cannot be read as an image ({_reason(error)}); restore or remove it"
        ) from error
    return Picture(picture, hashlib.blake2b(content, digest_size=16).hexdigest(), notes, deep_values)


def _check_size(ref: ImageRef, image: Image.Image) -> None:
    width, height = image.size
    found = f"{ref.path}: is {width}x{height} pixels"
    if width * height > MAX_PIXELS:
        raise DataError(f"{found}, at most {MAX_PIXELS:,} pixels are read; reduce or remove it")
    if min(width, height) < MIN_SIDE:
        raise DataError(f"{found}, at least {MIN_SIDE} a side are needed; restore or remove it")
    if ref.file_size is not None and image.size != ref.file_size:
        expected = "x".join(map(str, ref.file_size))
        raise DataError(
            f"{found}, expected {expected} (width x height); restore the file as it was published"
        )


def _notes(path: Path, image: Image.Image) -> tuple[str, ...]:
    notes = []
    if path.suffix.lower() not in FORMATS[image.format or ""]:
        notes.append(f"{image.format} by content, another format by name; read by content")
    if image.mode == "CMYK":
        notes.append("CMYK, converted to RGB without a colour profile")
    if "A" in image.getbands() or "transparency" in image.info:
        notes.append("transparency, dropped")
    if getattr(image, "n_frames", 1) > 1:
        notes.append("several frames, only the first read")
    if image.getexif().get(_ORIENTATION, 1) != 1:
        notes.append("an EXIF orientation, not applied")
    return tuple(notes)


def _as_rgb(
    path: Path, image: Image.Image, deep_range: tuple[int, int]
) -> tuple[Image.Image, tuple[int, int] | None]:
    if image.mode == "F":
        raise DataError(f"{path}: holds fractions (mode F); store it as integers of 8 or 16 bits")
    if image.mode not in _DEEP_MODES:
        return image.convert("RGB"), None
    raw = np.asarray(image)
    low, high = int(raw.min()), int(raw.max())
    if low < 0 or high > 65535:
        raise DataError(f"{path}: holds values from {low} to {high}; at most 16 bits, 0 to 65535, are read")
    return Image.fromarray(scale_deep(raw, deep_range)).convert("RGB"), (low, high)


def scale_deep(raw: np.ndarray, deep_range: tuple[int, int]) -> np.ndarray:
    """uint8: 255 (raw - low) / (high - low), cut to [0, 255], to the nearest, for `deep_range` = (low, high)."""
    low, high = deep_range
    scaled = 255 * (raw.astype(np.float64) - low) / (high - low)
    return np.rint(scaled.clip(0, 255)).astype(np.uint8)


def check_deep_range(deep_range: tuple[int, int]) -> None:
    """Refuse what is no range of 16-bit values."""
    low, high = deep_range
    if not 0 <= low < high <= 65535:
        raise DataError(f"deep_range is {low}, {high}; it must be two rising values within 0 and 65535")


def _reason(error: BaseException) -> str:
    # Pillow names the buffer it read from; the path stands before.
    text = str(error)
    return "no image format that is read" if "cannot identify image file" in text else text
