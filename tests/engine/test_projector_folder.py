"""The folder for TensorBoard's embedding projector, read as TensorBoard reads it."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from man_jax.engine import projector_folder
from man_jax.engine.projector_folder import SIDE, small_image, write_projector
from man_jax.retrieval.feature_file import FeatureFile

COLOURS = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (90, 90, 90), (0, 0, 0)], np.uint8)


@pytest.fixture
def file() -> FeatureFile:
    features = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    paths = [("/a/0_1.jpg", "x"), ("", "/a/tab\there.jpg"), ("", ""), ("/b/ü.jpg", ""), ("/b/9.jpg", "")]
    known = np.array([3, -1, 0, 12, 5])
    return FeatureFile(features, paths, ("R", "N"), known, known[::-1].copy(), {})


def read(place: int) -> np.ndarray:
    """Images of one colour in the first modality, and of another in the second."""
    return np.stack([np.full((60, 30, 3), COLOURS[place]), np.full((60, 30, 3), 77, np.uint8)])


def paths_of(folder) -> dict[str, Path]:
    text = (folder / "projector_config.pbtxt").read_text()
    return {name: folder / path for name, path in re.findall(r'(\w+_path): "([^"]+)"', text)}


def test_the_projector_finds_each_feature_with_its_name_and_its_image(tmp_path, file):
    write_projector(tmp_path, file, read)
    there = paths_of(tmp_path)
    rows = [line.split("\t") for line in there["tensor_path"].read_text().splitlines()]
    np.testing.assert_allclose(np.array(rows, float), file.features, rtol=1e-6)
    assert [line.split("\t") for line in there["metadata_path"].read_text().splitlines()] == [
        ["name", "pid", "camid"],
        ["0_1.jpg", "3", "5"],
        [r"tab\there.jpg", "?", "12"],
        ["triple 2", "0", "0"],
        ["ü.jpg", "12", "?"],
        ["9.jpg", "5", "3"],
    ]
    page = np.asarray(Image.open(there["image_path"]))
    assert page.shape == (3 * SIDE, 3 * SIDE, 3)  # a square of three rows for five images
    for place, colour in enumerate(COLOURS):
        row, column = divmod(place, 3)
        middle = page[row * SIDE + SIDE // 2, column * SIDE + SIDE // 2]
        np.testing.assert_allclose(middle, colour, atol=1)


def test_a_small_image_keeps_its_aspect_and_has_white_beside_it():
    made = np.asarray(small_image(np.zeros((200, 100, 3), np.uint8)))
    assert made.shape == (SIDE, SIDE, 3)
    assert (made[:, : SIDE // 4] == 255).all()
    assert (made[:, SIDE // 4 + 1 : -SIDE // 4 - 1] == 0).all()


def test_more_images_than_a_browser_shows_are_left_out_with_a_warning(tmp_path, file, monkeypatch, caplog):
    monkeypatch.setattr(projector_folder, "LONGEST_PAGE", 3 * SIDE - 1)
    write_projector(tmp_path, file, read)
    assert paths_of(tmp_path).keys() == {"tensor_path", "metadata_path"}
    assert "has no images" in caplog.text
