"""Turn a record into pixels: open, verify, crop and resize one triple.

Every image becomes 8-bit RGB. One channel is repeated three times. More than 8 bits are scaled from `deep_range`, which
is fixed for a data set: scaling each image by its own extremes would make a warm vehicle look like a cold one.
"""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from data_pipelines.checking.depth import deep_pixels, depth_notes, fractions_of, orientation
from data_pipelines.reading.records import DataError, ImageRef, Record

DEEP_RANGE = (0, 65535)
"""The raw values that become 0 and 255 by default: the whole range of 16 bits."""

FORMATS = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
"""The formats that are read, by Pillow's name, with the name for messages."""

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
"""How images are resized. These filters of Pillow become wider the more an image shrinks, so they do not alias."""
FILTER = "bilinear"
"""The filter of query and gallery, and of train if no other is given."""

MIN_SIDE = 8
"""The shortest side in pixels; a smaller image shows no object and is most likely a placeholder."""
MAX_PIXELS = 50_000_000
MAX_BYTES = 500_000_000
"""The largest file; a decompression bomb or a misplaced video must not fill the memory."""

_UNREAD = {
    b"\xff\xd8\xff": "a JPEG of more than 8 bits or another rare kind",
    b"II*\0": "a TIFF of a rare kind",
    b"MM\0*": "a TIFF of a rare kind",
    b"II+\0": "a TIFF of a rare kind",
    b"MM\0+": "a TIFF of a rare kind",
    b"GIF8": "GIF",
    b"P2": "PGM",
    b"P3": "PPM",
    b"P5": "PGM",
    b"P6": "PPM",
    b"\0\0\0\x0cjP": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "HDF5",
    b"\x76\x2f\x31\x01": "OpenEXR",
}
"""The first bytes of files that are not read, and what such files are called."""

_ORIENTATION = 0x0112
_PALETTE = 320
_USUAL_GAMMA = 1 / 2.2


@dataclass(frozen=True)
class ImageSettings:
    """How the images of a set are prepared: `image_size` = (H, W), raw range of 0 … 255, filter of training images."""

    image_size: tuple[int, int]
    deep_range: tuple[int, int] = DEEP_RANGE
    train_filter: str = FILTER

    def filter_of(self, split: str) -> str:
        """Choose the one of `FILTERS` by which the images of a split are resized."""
        return self.train_filter if split == "train" else FILTER


@dataclass(frozen=True)
class Picture:
    """One decoded file: 8-bit RGB, and notes on how it was converted."""

    image: Image.Image
    digest: str
    """The digest of the file's bytes."""
    notes: tuple[str, ...] = ()
    """What a user should know about the file, such as "CMYK, converted to RGB"."""
    deep_values: tuple[int, int] | None = None
    """The smallest and the largest raw value, if the file has more than 8 bits."""
    raw: np.ndarray | None = None
    """All raw values of such a file, int [H, W] or [H, W, 3]."""


def read_triple(
    record: Record,
    image_size: tuple[int, int],
    deep_range: tuple[int, int] = DEEP_RANGE,
    *,
    filter_name: str = FILTER,
) -> np.ndarray:
    """Read a triple as uint8 [M, H, W, 3], resized to `image_size` = (H, W) by one of `FILTERS`."""
    pictures: dict[Path, Image.Image] = {}  # RGBNT100 keeps three images in one file: decode it once
    height, width = image_size
    triple = np.empty((len(record.images), height, width, 3), np.uint8)
    for m, ref in enumerate(record.images):
        if ref.path not in pictures:
            pictures[ref.path] = open_picture(ref, deep_range).image
        picture = pictures[ref.path]
        # Crop first: `resize(box=...)` would let the neighbouring modality bleed in at the seam.
        image = picture if ref.box is None else picture.crop(ref.box)
        triple[m] = resized(image, image_size, filter_name)
    return triple


def resized(image: Image.Image, image_size: tuple[int, int], filter_name: str = FILTER) -> np.ndarray:
    """Scale an RGB image to `image_size` = (H, W) by one of `FILTERS`; uint8 [H, W, 3]."""
    height, width = image_size
    return np.asarray(image.resize((width, height), FILTERS[filter_name]))


def open_picture(ref: ImageRef, deep_range: tuple[int, int] = DEEP_RANGE) -> Picture:
    """Read the whole file of `ref` as 8-bit RGB; DataError names the file, the limit that it breaks and the remedy."""
    path = ref.path
    content = b""
    try:
        if (num_bytes := path.stat().st_size) > MAX_BYTES:
            raise DataError(f"{path}: has {num_bytes:,} bytes, at most {MAX_BYTES:,} are read; remove it")
        content = path.read_bytes()
        with Image.open(io.BytesIO(content), formats=list(FORMATS)) as image:
            _check_size(ref, image)
            turned = orientation(image)
            image.load()
            notes = (*_notes(path, image), *depth_notes(content, image))
            raw = deep_pixels(str(path), content, image, turned)
            picture = image.convert("RGB") if raw is None else _scaled(raw, deep_range)
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
            f"{path}: cannot be read as an image ({_reason(error, content)}); restore or remove it"
        ) from error
    deep_values = None if raw is None else (int(raw.min()), int(raw.max()))
    return Picture(picture, hashlib.blake2b(content, digest_size=16).hexdigest(), notes, deep_values, raw)


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
    # A JPEG of several frames, as many phones and some stereo cameras write it, has a name of its own in Pillow.
    format_name = "JPEG" if image.format == "MPO" else image.format or ""
    if path.suffix.lower() not in FORMATS[format_name]:
        notes.append(f"{format_name} by content, another format by name; read by content")
    if image.mode == "CMYK":
        notes.append("CMYK, converted to RGB without a colour profile")
    if "A" in image.getbands() or "transparency" in image.info:
        notes.append("transparency, dropped")
    if getattr(image, "n_frames", 1) > 1:
        notes.append("several frames, only the first read")
    if image.getexif().get(_ORIENTATION, 1) != 1:
        notes.append("an EXIF orientation, not applied")
    return (*notes, *_colour_notes(image))


def _colour_notes(image: Image.Image) -> tuple[str, ...]:
    """Note what a file says about its colours that is not applied to them."""
    notes = []
    if profile := image.info.get("icc_profile"):
        name = _profile_name(profile)
        if "sRGB" not in name:
            notes.append(f"a colour profile ({name}), not applied")
    gamma = image.info.get("gamma")
    if gamma and "srgb" not in image.info and abs(gamma - _USUAL_GAMMA) > 0.01:
        notes.append(f"a gamma of {gamma:.3g}, not applied")
    # 8 bits are widened to 16 by 257 or by 256; anything else has more than 8.
    if any(value % 257 and value % 256 for value in getattr(image, "tag_v2", {}).get(_PALETTE, ())):
        notes.append("a palette of 16-bit colours, reduced to 8 bits")
    return tuple(notes)


def _profile_name(profile: bytes) -> str:
    try:
        return ImageCms.getProfileDescription(io.BytesIO(profile)).strip() or "without a name"
    except (ImageCms.PyCMSError, OSError, ValueError):
        return "of a kind that cannot be read"


def _scaled(raw: np.ndarray, deep_range: tuple[int, int]) -> Image.Image:
    return Image.fromarray(scale_deep(raw, deep_range)).convert("RGB")


def scale_deep(raw: np.ndarray, deep_range: tuple[int, int]) -> np.ndarray:
    """Scale raw values to uint8: 255 (raw - low) / (high - low), cut to [0, 255] and rounded.

    `deep_range` = (low, high).
    """
    low, high = deep_range
    scaled = 255 * (raw.astype(np.float64) - low) / (high - low)
    return np.rint(scaled.clip(0, 255)).astype(np.uint8)


def check_deep_range(deep_range: tuple[int, int]) -> None:
    """Check that `deep_range` is a range of 16-bit values; DataError if not."""
    low, high = deep_range
    if not 0 <= low < high <= 65535:
        raise DataError(f"deep_range is {low}, {high}; it must be two rising values within 0 and 65535")


def _reason(error: BaseException, content: bytes) -> str:
    # Pillow names the buffer that it read from; the message already has the path.
    text = str(error)
    if "cannot identify image file" not in text:
        return text
    if kind := fractions_of(content):
        return f"it holds fractions, {kind}; store it as integers of 8 or 16 bits"
    return f"no image format that is read{_what_it_is(content)}"


def _what_it_is(content: bytes) -> str:
    """Name the format of a file that is not read, if its first bytes show it."""
    if not content:
        return ": the file is empty"
    if content.startswith(b"version https://git-lfs"):
        return ": a pointer of Git LFS; get the files themselves with git lfs pull"
    if content.lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return ": a web page or XML, as a failed download leaves it"
    for start, name in _UNREAD.items():
        if content.startswith(start):
            return f": {name}; store it as PNG of 8 or 16 bits"
    return ": HEIC or AVIF; store it as PNG" if content[4:8] == b"ftyp" else ""
