"""Which pictures are told as one: encoded anew, rescaled, brightened; and which are not."""

import io

import numpy as np
import pytest
from PIL import Image

from data_pipelines.checking.looks import LOOK_BYTES, look, near_pairs

SIZE = (64, 48)


def smooth(seed: int) -> Image.Image:
    """A picture of a few broad shapes, as a small thermal image is."""
    coarse = np.random.default_rng(seed).integers(0, 255, (4, 4, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize(SIZE)


def noisy(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (48, 64, 3)).astype(np.uint8))


def encoded(image: Image.Image, **options) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def are_near(one: Image.Image, other: Image.Image) -> bool:
    looks = [look(image) for image in (one, other)]
    assert all(found is not None and found.shape == (LOOK_BYTES,) for found in looks)
    return any(near_pairs(*(np.stack([found]) for found in looks if found is not None)))


@pytest.mark.parametrize("draw", [smooth, noisy])
@pytest.mark.parametrize("quality", [95, 75, 50])
def test_a_picture_encoded_anew_is_the_same(draw, quality):
    assert all(are_near(draw(seed), encoded(draw(seed), quality=quality)) for seed in range(8))


@pytest.mark.parametrize("size", [(128, 96), (96, 72), (32, 24), (48, 64)])
def test_a_smooth_picture_rescaled_is_the_same(size):
    assert all(are_near(smooth(seed), smooth(seed).resize(size)) for seed in range(8))


def test_a_brightened_picture_is_the_same():
    image = smooth(0)
    assert are_near(image, image.point([round(20 + 0.7 * value) for value in range(256)] * 3))


@pytest.mark.parametrize("draw", [smooth, noisy])
def test_other_pictures_are_not(draw):
    looks = np.stack([found for seed in range(60) if (found := look(draw(seed))) is not None])
    assert list(near_pairs(looks, looks)) == [(i, i) for i in range(60)]


def test_a_picture_of_the_same_thing_by_another_camera_is_not():
    image = np.asarray(smooth(0)).astype(int)
    shade = np.asarray(smooth(1)).astype(int) // 5
    assert not are_near(smooth(0), Image.fromarray((image - shade).clip(0, 255).astype(np.uint8)))


def test_a_blank_picture_has_no_look():
    assert look(Image.new("RGB", SIZE, (7, 80, 200))) is None
    assert look(Image.new("RGB", SIZE), np.full((48, 64), 7300, np.uint16)) is None


def test_deep_values_and_their_copy_of_8_bits_are_the_same_picture():
    raw = np.asarray(smooth(3).convert("L")).astype(np.uint16) * 12 + 7200
    deep, shallow = look(Image.new("RGB", SIZE), raw), look(smooth(3).convert("L"))
    assert deep is not None
    assert shallow is not None
    assert list(near_pairs(deep[None], shallow[None])) == [(0, 0)]


def test_pairs_are_found_across_blocks(monkeypatch):
    monkeypatch.setattr("data_pipelines.checking.looks._BLOCK", 7)
    looks = np.stack([found for seed in range(20) if (found := look(noisy(seed))) is not None])
    assert list(near_pairs(looks, looks[::-1].copy())) == [(i, 19 - i) for i in range(20)]
