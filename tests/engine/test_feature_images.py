"""How the images of feature files are opened."""

import io

import numpy as np
import pytest
from PIL import Image

from data_pipelines.reading.records import DataError
from data_pipelines.storing.images import DEEP_RANGE
from man_jax.engine.feature_images import (
    ABSENT,
    HEIGHT,
    LONGEST_SIDE,
    FileImages,
    as_jpeg,
    decode_uploaded,
    deep_range_of,
)
from tests.retrieval.feature_files import feature_file, unit_rows, write_triples

WIDE = [[0, 0, 40, 20], [40, 0, 80, 20]]


@pytest.fixture
def triples(tmp_path):
    return write_triples(tmp_path, split="gallery", pids=[1, 2])


def one_file(path, boxes):
    pixels = np.concatenate([np.full((20, 40, 3), value, np.uint8) for value in (30, 220)], axis=1)
    Image.fromarray(pixels).save(path)
    return feature_file(unit_rows(1, 4), paths=[(str(path), str(path))], about={"boxes": boxes})


def test_each_modality_is_its_own_image(triples):
    blues = [np.asarray(FileImages(triples).open(1, place))[0, 0, 2] for place in range(2)]
    assert blues == [ord("R"), ord("N")]


def test_modalities_that_lie_in_one_file_are_cut_out_of_it(tmp_path):
    images = FileImages(one_file(tmp_path / "both.png", WIDE))
    assert [np.unique(np.asarray(images.open(0, place))).tolist() for place in range(2)] == [[30], [220]]
    assert images.open(0, 1).size == (40, 20)


def test_a_part_beyond_the_image_is_refused_before_it_takes_memory(tmp_path):
    file = one_file(tmp_path / "both.png", [WIDE[0], [0, 0, 10**9, 10**9]])
    with pytest.raises(DataError, match=r"both.png: is 80x20 pixels, and the part .* is shown"):
        FileImages(file).open(0, 1)


@pytest.mark.parametrize(
    "boxes", [None, "all", [WIDE[0]], [[1, 2], [3, 4]], [[0, 0, 0, 5], WIDE[1]], [[0, 0, "a", 5]] * 2]
)
def test_parts_that_mean_nothing_are_passed_over(tmp_path, boxes):
    assert FileImages(one_file(tmp_path / "both.png", boxes)).open(0, 0).size == (80, 20)


def test_an_image_that_is_gone_is_grey_in_a_picture_and_counted(triples, tmp_path):
    (tmp_path / "gallery" / "N" / "2_c1_1.png").unlink()
    pixels, num_absent = FileImages(triples).triple(1, (8, 6))
    assert (pixels.shape, num_absent) == ((2, 8, 6, 3), 1)
    assert np.unique(pixels[1]).tolist() == [ABSENT]
    assert np.unique(pixels[0]).tolist() != [ABSENT]


def test_an_image_without_a_file_is_refused(triples):
    file = triples._replace(paths=[("", triples.paths[0][1]), triples.paths[1]])
    with pytest.raises(DataError, match="triple 0 has no image of the modality R"):
        FileImages(file).open(0, 0)


def test_the_shape_of_a_picture_s_triples_is_that_of_the_first_image_that_can_be_read(triples, tmp_path):
    (tmp_path / "gallery" / "R" / "1_c0_0.png").unlink()
    assert FileImages(triples).size() == (HEIGHT, 2 * HEIGHT)
    assert FileImages(feature_file(unit_rows(2, 4))).size() == (HEIGHT, HEIGHT)


def test_raw_values_are_scaled_as_they_were_for_the_features(tmp_path):
    Image.fromarray(np.full((20, 20), 5000, np.uint16)).save(tmp_path / "deep.png")
    path = str(tmp_path / "deep.png")
    file = feature_file(unit_rows(1, 4), paths=[(path, path)], about={"deep_range": [0, 10000]})
    assert np.unique(np.asarray(FileImages(file).open(0, 0))).tolist() == [128]
    assert [
        deep_range_of(feature_file(unit_rows(1, 4), about={"deep_range": each})) for each in ("x", [5, 1])
    ] == [DEEP_RANGE] * 2


def test_an_image_for_the_screen_is_small():
    with Image.open(io.BytesIO(as_jpeg(Image.new("RGB", (4000, 1000))))) as image:
        assert (image.format, image.size) == ("JPEG", (LONGEST_SIDE, LONGEST_SIDE // 4))


def test_bytes_that_were_uploaded_are_decoded_as_the_file_is(triples, tmp_path):
    path = tmp_path / "gallery" / "R" / "1_c0_0.png"
    uploaded = decode_uploaded(path.read_bytes(), "../mine.png", DEEP_RANGE)
    expected = FileImages(triples).open(0, 0)
    np.testing.assert_array_equal(np.asarray(uploaded), np.asarray(expected))
    with pytest.raises(DataError, match=r"mine.png: cannot be read as an image \(no image format"):
        decode_uploaded(b"no picture", "mine.png", DEEP_RANGE)


def test_a_path_that_no_disk_can_have_is_refused():
    file = feature_file(unit_rows(1, 4), paths=[("a\0b", "c")])
    with pytest.raises(DataError, match="cannot be read as an image"):
        FileImages(file).open(0, 0)
