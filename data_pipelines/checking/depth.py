"""Read the pixels of images of more than 8 bits a channel with all their bits.

Pillow reads all bits if the image has one channel. If it has several, Pillow silently keeps only the upper eight bits,
so imagecodecs reads these images.
"""

from collections.abc import Callable, Mapping

import imagecodecs
import numpy as np
from PIL import Image

from data_pipelines.reading.records import DataError

_ONE_CHANNEL = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
_BITS, _PHOTOMETRIC, _ORIENTATION = 258, 262, 274
_WHITE_IS_ZERO = 0

_TURNS: Mapping[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels),
}
"""The function that turns the stored rows upright, by the orientation of a TIFF."""


def orientation(image: Image.Image) -> int:
    """Read the orientation of a stored TIFF; call it before Pillow loads the image, which turns it upright."""
    return int(getattr(image, "tag_v2", {}).get(_ORIENTATION, 1))


def deep_pixels(name: str, content: bytes, image: Image.Image, turned: int) -> np.ndarray | None:
    """Read the raw values, int [H, W] or [H, W, 3], of a loaded image of more than 8 bits; None if it has no more.

    Three equal channels become one, and transparency is left out. `turned` is what `orientation` returned. Raises
    DataError, which names the file as `name`, if its values are fractions or do not fit into 16 bits.
    """
    if image.mode == "F":
        raise DataError(f"{name}: holds fractions (mode F); store it as integers of 8 or 16 bits")
    if image.mode in _ONE_CHANNEL:
        pixels = np.asarray(image)
    elif image.mode != "CMYK" and _bits(content, image) > 8:
        pixels = _TURNS.get(turned, np.asarray)(_decode(image.format, content, image))
    else:
        return None
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or high > 65535:
        raise DataError(f"{name}: holds values from {low} to {high}; at most 16 bits, 0 to 65535, are read")
    if is_inverted(image):
        pixels = 2 ** _bits(content, image) - 1 - pixels.astype(np.int32)
    return pixels


def is_inverted(image: Image.Image) -> bool:
    """Tell whether a TIFF of more than 8 bits stores white as zero, which Pillow respects for 8 bits only."""
    return image.mode in _ONE_CHANNEL and getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def depth_notes(content: bytes, image: Image.Image) -> tuple[str, ...]:
    """Note what a user should know about how the bits of a file were read, besides their scaling."""
    notes = []
    if image.mode == "CMYK" and _bits(content, image) > 8:
        notes.append(
            f"CMYK of {_bits(content, image)} bits, reduced to 8 bits; deep_range has no effect on it"
        )
    if is_inverted(image):
        notes.append("white stored as zero, inverted so that white is the greatest value")
    return tuple(notes)


def _bits(content: bytes, image: Image.Image) -> int:
    """Find the number of bits of a channel."""
    if image.format == "PNG":
        return content[24]  # of the header, which every PNG begins with
    bits = getattr(image, "tag_v2", {}).get(_BITS, 8)
    return max(bits) if isinstance(bits, tuple) else int(bits)


def _decode(format_name: str | None, content: bytes, image: Image.Image) -> np.ndarray:
    try:
        decode = imagecodecs.png_decode if format_name == "PNG" else imagecodecs.tiff_decode
        pixels = decode(content)
    except (RuntimeError, NotImplementedError) as error:  # what the errors of imagecodecs are
        raise ValueError(f"its {_bits(content, image)} bits cannot be decoded: {error}") from error
    if pixels.ndim == 3 and pixels.shape[0] == len(image.getbands()) and pixels.shape[-1] > 4:
        pixels = np.moveaxis(pixels, 0, -1)  # one plane after the other
    if pixels.ndim == 2:
        return pixels
    colours = pixels[..., : 1 if pixels.shape[-1] < 3 else 3]
    return colours[..., 0] if (colours == colours[..., :1]).all() else colours


def fractions_of(content: bytes) -> str:
    """Name the type of a TIFF's values if they are fractions of a type that Pillow does not know; otherwise ""."""
    if content[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return ""
    try:
        dtype = imagecodecs.tiff_decode(content).dtype
    except (RuntimeError, NotImplementedError, ValueError):
        return ""
    return str(dtype) if np.issubdtype(dtype, np.floating) else ""
