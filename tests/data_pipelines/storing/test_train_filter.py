"""By which filter images are resized: those of train as asked, those of query and gallery bilinear always."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_pipelines import prepare
from data_pipelines.reading.readers import wmveid863
from data_pipelines.storing import builders
from data_pipelines.storing.images import ImageSettings
from tests.data_pipelines.preparing import SIZE

HEIGHT, WIDTH = SIZE


@pytest.fixture
def noise(tree) -> Path:
    """The tree, each file a picture of its own, larger than the size that is prepared, as PNG by content."""
    for i, path in enumerate(sorted(tree.rglob("*.jpg"))):
        pixels = np.random.default_rng(i).integers(0, 256, (41, 30, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(path, format="PNG")
    return tree


def resized(path: Path, kernel) -> np.ndarray:
    """The picture in float64 by the definition: a kernel stretched by the reduction, its weights normalised."""
    with Image.open(path) as image:
        pixels = np.asarray(image).astype(np.float64)
    for axis, length in ((1, WIDTH), (0, HEIGHT)):
        scale = pixels.shape[axis] / length
        # The centre of output pixel i lies at (i + ½) scale of the input; support grows with the reduction.
        places = (np.arange(pixels.shape[axis]) + 0.5 - ((np.arange(length) + 0.5) * scale)[:, None]) / scale
        weights = kernel(np.abs(places))
        weights /= weights.sum(axis=1, keepdims=True)
        pixels = np.moveaxis(np.tensordot(weights, pixels, axes=(1, axis)), 0, axis)
        pixels = np.rint(pixels.clip(0, 255))
    return pixels


def triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1 - x, 0)


def cubic(x: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = −½, which is what torchvision's Resize(interpolation=3) takes on Pillow's images."""
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


@pytest.mark.parametrize(("settings", "kernel"), [({}, triangle), ({"train_filter": "bicubic"}, cubic)])
def test_train_is_resized_as_asked_and_the_test_bilinear(noise, settings, kernel):
    dataset = wmveid863.read(noise)
    data = builders.load(builders.prepare(dataset, noise.parent / "out", image_size=SIZE, **settings))
    for split, found, its_kernel in (
        ("train", data.train, kernel),
        ("query", data.query, triangle),
        ("gallery", data.gallery, triangle),
    ):
        for i, record in enumerate(dataset.splits[split]):
            for m, image in enumerate(record.images):
                # Pillow computes with weights of 22 bits and rounds between the axes.
                np.testing.assert_allclose(found[i][m], resized(image.path, its_kernel), atol=1)


def test_the_two_filters_differ_by_far_more_than_rounding(noise):
    path = next(noise.rglob("*.jpg"))
    assert np.abs(resized(path, cubic) - resized(path, triangle)).max() > 10


def test_each_filter_has_a_folder_and_a_fingerprint_of_its_own_and_the_default_keeps_its_name(tree):
    dataset, out = wmveid863.read(tree), tree.parent / "out"
    plain = builders.prepare(dataset, out, image_size=SIZE)
    bicubic = builders.prepare(dataset, out, image_size=SIZE, train_filter="bicubic")
    assert plain != bicubic
    assert plain == builders.prepare(dataset, out, image_size=SIZE, train_filter="bilinear")
    tables = [builders.read_table(folder) or {} for folder in (plain, bicubic)]
    assert [table["train_filter"] for table in tables] == ["bilinear", "bicubic"]
    assert tables[0]["fingerprint"] != tables[1]["fingerprint"]


def test_the_command_prepares_what_training_will_look_for(tree, capsys):
    out = tree.parent / "out"
    prepare.report_and_prepare("wmveid863", str(tree), out, SIZE, (0, 65535), "bicubic")
    dataset = wmveid863.read(tree)
    expected = builders.preparation_folder(dataset, out, ImageSettings(SIZE, (0, 65535), "bicubic"))
    assert f"prepared in {expected}" in capsys.readouterr().out
    assert len(list(out.iterdir())) == 1
