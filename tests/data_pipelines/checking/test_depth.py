"""Images of more than 8 bits a channel, written by imagecodecs or by hand and read by us, against plain arithmetic."""

import io
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms

from data_pipelines.reading.records import DataError, ImageRef
from data_pipelines.storing.images import open_picture

RANGE = (7200, 10300)


def thermal(shape: tuple[int, ...] = (16, 12), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(7200, 10300, shape).astype(np.uint16)


def scaled(raw: np.ndarray) -> np.ndarray:
    """What the range makes of raw values, to the nearest."""
    return np.rint(255 * (raw.astype(np.float64) - RANGE[0]) / (RANGE[1] - RANGE[0])).astype(np.uint8)


def file_of(path: Path, content: bytes | bytearray) -> ImageRef:
    path.write_bytes(content)
    return ImageRef(path)


def interlaced(grey: np.ndarray) -> bytes:
    """An interlaced PNG of 16-bit RGB, put together by hand, with three equal channels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    passes = [
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ]
    rows = [
        b"\0" + np.repeat(row[:, None], 3, axis=1).astype(">u2").tobytes()
        for top, left, down, right in passes
        for row in grey[top::down, left::right]
        if len(row)
    ]
    height, width = grey.shape
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 1)
    data = zlib.compress(b"".join(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


GREY = thermal()
RGB = np.stack([GREY] * 3, axis=-1)
OPAQUE = np.full_like(GREY, 65535)[..., None]
CONTENTS = {
    "rgb.png": imagecodecs.png_encode(RGB),
    "rgba.png": imagecodecs.png_encode(np.concatenate([RGB, OPAQUE], axis=-1)),
    "grey_alpha.png": imagecodecs.png_encode(np.concatenate([GREY[..., None], OPAQUE], axis=-1)),
    "interlaced.png": interlaced(GREY),
    "rgb.tif": imagecodecs.tiff_encode(RGB),
    "rgb_lzw.tif": imagecodecs.tiff_encode(RGB, compression="lzw"),
    "rgba.tif": imagecodecs.tiff_encode(np.concatenate([RGB, OPAQUE], axis=-1)),
    "planes.tif": imagecodecs.tiff_encode(np.moveaxis(RGB, -1, 0).copy(), photometric="rgb", planarconfig=2),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_three_equal_deep_channels_are_the_grey_image_to_the_last_bit(tmp_path, name):
    picture = open_picture(file_of(tmp_path / name, CONTENTS[name]), RANGE)
    np.testing.assert_array_equal(np.asarray(picture.image), scaled(RGB))
    assert picture.deep_values == (GREY.min(), GREY.max())
    assert picture.raw is not None
    np.testing.assert_array_equal(picture.raw, GREY)


@pytest.mark.parametrize("encode", [imagecodecs.png_encode, imagecodecs.tiff_encode])
def test_each_deep_channel_is_scaled_by_the_one_range(tmp_path, encode):
    raw = thermal((16, 12, 3))
    picture = open_picture(file_of(tmp_path / "colour.png", encode(raw)), RANGE)
    np.testing.assert_array_equal(np.asarray(picture.image), scaled(raw))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_deep_colour_tiff_is_turned_as_the_grey_one_is(tmp_path, orientation):
    grey = tmp_path / "grey.tif"
    Image.fromarray(GREY).save(grey, tiffinfo={274: orientation})
    rgb = file_of(tmp_path / "rgb.tif", _with_orientation(RGB, orientation))
    np.testing.assert_array_equal(open_picture(rgb, RANGE).image, open_picture(ImageRef(grey), RANGE).image)


def _with_orientation(raw: np.ndarray, orientation: int) -> bytes:
    """A bare TIFF of 16-bit RGB with the tag of an orientation."""
    height, width, _ = raw.shape
    tags = [
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, 3, 200),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 300),
        (274, 3, 1, orientation),
        (277, 3, 1, 3),
        (278, 3, 1, height),
        (279, 4, 1, raw.nbytes),
    ]
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = (head + bytes(4)).ljust(200, b"\0") + struct.pack("<HHH", 16, 16, 16)
    return head.ljust(300, b"\0") + raw.astype("<u2").tobytes()


def test_a_tiff_whose_white_is_zero_is_inverted_and_noted(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(GREY).save(buffer, "TIFF", tiffinfo={262: 0})
    picture = open_picture(file_of(tmp_path / "white.tif", buffer.getvalue()))
    assert picture.deep_values == (65535 - GREY.max(), 65535 - GREY.min())
    assert picture.notes == ("white stored as zero, inverted so that white is the greatest value",)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16])
def test_fractions_of_any_width_are_refused_as_such(tmp_path, kind):
    ref = file_of(tmp_path / "kelvin.tif", imagecodecs.tiff_encode(GREY.astype(kind)))
    with pytest.raises(DataError, match=r"kelvin\.tif: .*fractions.*integers of 8 or 16 bits"):
        open_picture(ref)


def test_a_jpeg_of_twelve_bits_is_refused_with_the_remedy(tmp_path):
    ref = file_of(tmp_path / "deep.jpg", imagecodecs.jpeg_encode(GREY // 16, bitspersample=12))
    with pytest.raises(DataError, match=r"a JPEG of more than 8 bits or another rare kind; store it as PNG"):
        open_picture(ref)


def test_a_damaged_deep_colour_image_is_named(tmp_path):
    ref = file_of(tmp_path / "half.png", CONTENTS["rgb.png"][:-120])
    with pytest.raises(DataError, match=r"half\.png: cannot be read as an image"):
        open_picture(ref)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"P5 9 9 65535\n" + bytes(162), "PGM"),
        (b"GIF89a" + bytes(30), "GIF"),
        (b"\x93NUMPY" + bytes(30), "a NumPy array"),
        (b"\0\0\0\x18ftypheic" + bytes(30), "HEIC"),
    ],
)
def test_a_format_that_is_not_read_is_named_under_whatever_suffix(tmp_path, content, what):
    with pytest.raises(DataError, match=f"no image format that is read: {what}.*; store it as PNG"):
        open_picture(file_of(tmp_path / "picture.png", content))


# --- what a file says of its colours


def notes(path: Path, image: Image.Image, **options) -> tuple[str, ...]:
    image.save(path, **options)
    return open_picture(ImageRef(path)).notes


COLOUR = Image.new("RGB", (12, 12), (9, 99, 199))


def test_a_colour_profile_that_is_not_applied_is_noted_by_its_name(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    assert notes(tmp_path / "xyz.png", COLOUR, icc_profile=profile) == (
        "a colour profile (XYZ identity built-in), not applied",
    )


def test_the_profile_that_everybody_means_needs_no_word(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert notes(tmp_path / "srgb.jpg", COLOUR, icc_profile=profile) == ()


def test_a_profile_that_is_none_is_noted(tmp_path):
    assert notes(tmp_path / "broken.png", COLOUR, icc_profile=b"no profile") == (
        "a colour profile (of a kind that cannot be read), not applied",
    )


@pytest.mark.parametrize(("gamma", "said"), [(100_000, ("a gamma of 1, not applied",)), (45_455, ())])
def test_a_gamma_that_is_not_the_usual_one_is_noted(tmp_path, gamma, said):
    buffer = io.BytesIO()
    COLOUR.save(buffer, "PNG")
    content = buffer.getvalue()
    data = b"gAMA" + struct.pack(">I", gamma)
    chunk = struct.pack(">I", 4) + data + struct.pack(">I", zlib.crc32(data))
    picture = open_picture(file_of(tmp_path / "gamma.png", content[:33] + chunk + content[33:]))
    assert picture.notes == said


def test_a_stereo_jpeg_is_read_and_its_other_frames_are_noted(tmp_path):
    path = tmp_path / "stereo.jpg"
    COLOUR.save(path, "MPO", save_all=True, append_images=[COLOUR])
    assert open_picture(ImageRef(path)).notes == ("several frames, only the first read",)


def test_cmyk_of_sixteen_bits_is_noted(tmp_path):
    raw = np.concatenate([RGB, GREY[..., None]], axis=-1)
    ref = file_of(tmp_path / "ink.tif", imagecodecs.tiff_encode(raw, photometric="separated"))
    assert "CMYK of 16 bits, reduced to 8 bits; deep_range has no effect on it" in open_picture(ref).notes
