from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_pipelines.reading.folders import IMAGE_SUFFIXES
from data_pipelines.reading.records import DataError, ImageRef, Record
from data_pipelines.storing.images import MAX_PIXELS, open_picture, read_triple, scale_deep


def save(path: Path, array: np.ndarray, **options) -> ImageRef:
    Image.fromarray(array).save(path, **options)
    return ImageRef(path)


def triple_of(ref: ImageRef) -> Record:
    return Record((ref, ref, ref), pid=0, camid=0)


@pytest.mark.parametrize("deep_range", [(0, 65535), (27000, 32000), (0, 255), (100, 101)])
def test_deep_values_are_scaled_linearly_and_cut(deep_range):
    low, high = deep_range
    raw = np.array([0, 1, 99, 100, 101, 128, 255, 26999, 27000, 29500, 29511, 32000, 40000, 65535], np.uint16)
    exact = [min(max(Fraction(255 * (int(v) - low), high - low), Fraction(0)), Fraction(255)) for v in raw]
    assert scale_deep(raw, deep_range).tolist() == [
        round(value) for value in exact
    ]  # both round half to even


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_sixteen_bit_thermal_image_keeps_the_order_of_its_values(tmp_path, suffix):
    raw = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    picture = open_picture(save(tmp_path / f"deep{suffix}", raw))
    grey = np.asarray(picture.image)
    assert (np.diff(grey[..., 0].ravel().astype(int)) >= 0).all()
    assert (grey[0, 0, 0], grey[-1, -1, 0]) == (0, 255)
    assert picture.deep_values == (0, 65535)


def test_the_order_of_a_file_s_bytes_does_not_matter(tmp_path):
    raw = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    big = tmp_path / "big.tif"
    Image.frombytes("I;16B", raw.shape, raw.astype(">u2").tobytes()).save(big)
    with Image.open(big) as picture:
        assert picture.mode == "I;16B"
    found, usual = open_picture(ImageRef(big)), open_picture(save(tmp_path / "little.tif", raw))
    np.testing.assert_array_equal(found.image, usual.image)
    assert found.deep_values == usual.deep_values


def test_two_images_of_one_range_stay_comparable(tmp_path):
    cold, warm = (
        open_picture(save(tmp_path / f"{value}.png", np.full((9, 9), value, np.uint16)), (28000, 32000))
        for value in (29000, 31000)
    )
    assert (np.asarray(cold.image) == 64).all()
    assert (np.asarray(warm.image) == 191).all()


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
def test_a_file_of_each_kind_that_folders_are_searched_for_is_read_without_a_word(tmp_path, suffix):
    assert open_picture(save(tmp_path / f"a{suffix}", np.zeros((9, 9, 3), np.uint8))).notes == ()


def test_one_channel_is_repeated_three_times(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (12, 10), np.uint8)
    pixels = read_triple(triple_of(save(tmp_path / "grey.png", grey)), (12, 10))
    for channel in range(3):
        np.testing.assert_array_equal(pixels[0, ..., channel], grey)


def test_fractions_are_refused(tmp_path):
    ref = save(tmp_path / "kelvin.tif", np.full((9, 9), 293.5, np.float32))
    with pytest.raises(DataError, match=r"kelvin\.tif: holds fractions .*store it as integers"):
        open_picture(ref)


def test_more_than_sixteen_bits_are_refused(tmp_path):
    ref = save(tmp_path / "deep.tif", np.full((9, 9), 70000, np.int32))
    with pytest.raises(DataError, match=r"deep\.tif: holds values from 70000 to 70000; at most 16 bits"):
        open_picture(ref)


def in_mode(path: Path, mode: str, **options) -> ImageRef:
    colours = {"CMYK": (0, 255, 255, 0), "RGBA": (255, 0, 0, 0), "LA": (255, 0), "P": 0, "L": 9, "1": 1}
    image = Image.new(mode, (16, 12), colours[mode])
    if mode == "P":
        image.putpalette([255, 0, 0, 0, 255, 0])
    image.save(path, **options)
    return ImageRef(path)


@pytest.mark.parametrize(
    ("mode", "suffix", "options", "colour", "note"),
    [
        ("CMYK", ".jpg", {}, (255, 0, 0), "CMYK, converted to RGB"),
        ("RGBA", ".png", {}, (255, 0, 0), "transparency, dropped"),
        ("LA", ".png", {}, (255, 255, 255), "transparency, dropped"),
        ("P", ".png", {}, (255, 0, 0), None),
        ("P", ".png", {"transparency": 0}, (255, 0, 0), "transparency, dropped"),
        ("1", ".png", {}, (255, 255, 255), None),
        ("L", ".jpg", {}, (9, 9, 9), None),
    ],
)
def test_other_modes_become_rgb_and_what_is_lost_is_noted(tmp_path, mode, suffix, options, colour, note):
    picture = open_picture(in_mode(tmp_path / f"picture{suffix}", mode, **options))
    np.testing.assert_allclose(np.asarray(picture.image)[5, 5], colour, atol=3)
    assert [note is not None and text.startswith(note) for text in picture.notes] == [True] * (
        note is not None
    )


def test_a_wrong_extension_is_read_by_content_and_noted(tmp_path):
    ref = save(tmp_path / "picture.jpg", np.full((9, 9, 3), 77, np.uint8), format="PNG")
    picture = open_picture(ref)
    assert (np.asarray(picture.image) == 77).all()
    assert picture.notes == ("PNG by content, another format by name; read by content",)


def test_an_orientation_that_is_not_applied_is_noted(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    ref = save(tmp_path / "turned.jpg", np.zeros((9, 16, 3), np.uint8), exif=exif)
    assert open_picture(ref).notes == ("an EXIF orientation, not applied",)


def truncated(path: Path) -> None:
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:-300])


def bomb(path: Path) -> None:
    # A header that claims 40,000 x 40,000 pixels, followed by next to nothing.
    Image.new("1", (40000, 16)).save(path, "BMP")
    content = bytearray(path.read_bytes())
    content[22:26] = (40000).to_bytes(4, "little")
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncated, "cannot be read as an image (.*truncated.*); restore or remove it"),
        (lambda path: path.write_bytes(b""), "no image format that is read"),
        (lambda path: path.write_text("<html>not found</html>"), "no image format that is read"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
        (lambda path: path.symlink_to(path.with_name("gone.jpg")), "No such file"),
        (lambda path: Image.new("L", (1, 1)).save(path), "is 1x1 pixels, at least 8 a side are needed"),
        (lambda path: Image.new("L", (300, 2)).save(path), "is 300x2 pixels, at least 8 a side"),
        (
            lambda path: Image.new("1", (10000, 6000)).save(path, "BMP"),
            f"at most {MAX_PIXELS:,} pixels are read",
        ),
        (bomb, "cannot be read as an image .*decompression bomb"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_fault(tmp_path, damage, message):
    path = tmp_path / "picture.jpg"
    damage(path)
    with pytest.raises(DataError, match=rf"{path}: .*{message}"):
        open_picture(ImageRef(path))


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    # Injected: root, as whom these tests may run, reads files of any mode.
    ref = save(tmp_path / "secret.png", np.zeros((9, 9), np.uint8))

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match=r"secret\.png: cannot be read as an image .*Permission denied"):
        open_picture(ref)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a pointer of Git LFS; get the files"),
        (b"\n<!DOCTYPE html><html>quota exceeded", "a web page or XML, as a failed download leaves it"),
    ],
)
def test_what_downloads_leave_in_place_of_an_image_is_told(tmp_path, content, said):
    path = tmp_path / "0001.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        open_picture(ImageRef(path))
