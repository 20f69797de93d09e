"""The range that is advised for deep images: of ordinary files, and beside stuck pixels, blank frames, odd cameras."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_pipelines.checking.depth_advice import (
    SHARES,
    advised_range,
    blank_files,
    measure_depth,
    share_outside,
)
from data_pipelines.checking.examination import image_warnings
from data_pipelines.checking.verification import verify
from data_pipelines.reading.datasets import read
from data_pipelines.storing.images import DEEP_RANGE, check_deep_range

LOW, HIGH = 7260, 10188


def frame(seed: int, low: int = LOW, high: int = HIGH) -> np.ndarray:
    """A thermal frame that fills the range."""
    raw = np.random.default_rng(seed).integers(low, high + 1, (32, 32)).astype(np.uint16)
    raw[0, :2] = low, high
    return raw


def advice(frames: list[np.ndarray]) -> tuple[int, int] | None:
    return advised_range(quantiles(frames))


def quantiles(frames: list[np.ndarray]) -> np.ndarray:
    return np.array([measure_depth(raw, DEEP_RANGE)[0] for raw in frames])


def test_quantiles_are_values_of_the_file_at_the_ranks_of_the_shares():
    raw = frame(0)
    ordered = np.sort(raw, axis=None)
    found, _ = measure_depth(raw, DEEP_RANGE)
    assert list(found) == [int(ordered[int(share * (raw.size - 1))]) for share in SHARES]


@pytest.mark.parametrize("deep_range", [(0, 65535), (8000, 9000), (LOW, HIGH), (9000, 20000)])
def test_the_share_that_is_cut_is_counted_to_the_pixel(deep_range):
    raw = frame(1)
    outside = sum(not deep_range[0] <= value <= deep_range[1] for value in raw.ravel().tolist())
    assert measure_depth(raw, deep_range)[1] == pytest.approx(outside / raw.size, abs=1e-12)


def test_ordinary_files_are_advised_all_that_they_hold():
    assert advice([frame(seed) for seed in range(30)]) == (LOW, HIGH)


@pytest.mark.parametrize(("value", "count"), [(65535, 1), (0, 1), (65535, 3), (0, 3)])
@pytest.mark.parametrize("num_files", [1, 30])
def test_stuck_pixels_do_not_decide(value, count, num_files):
    frames = [frame(seed) for seed in range(30)]
    for raw in frames[:num_files]:
        raw[5, 5 : 5 + count] = value
    low, high = advice(frames) or (0, 0)
    assert low == pytest.approx(LOW, abs=30)
    assert high == pytest.approx(HIGH, abs=30)
    assert 0 < share_outside(quantiles(frames), (low, high)) < 0.01


def test_blank_frames_do_not_decide():
    frames = [frame(seed) for seed in range(30)]
    frames[:4] = [
        np.full((32, 32), 0, np.uint16),
        np.full((32, 32), 65535, np.uint16),
        frame(0, 0, 3),
        frame(1, 9, 9),
    ]
    assert blank_files(quantiles(frames)).tolist() == [True] * 4 + [False] * 26
    assert advice(frames) == (LOW, HIGH)


def test_files_of_one_value_only_get_no_advice():
    assert advice([np.full((32, 32), 7000, np.uint16)] * 3) is None


def test_a_warm_corner_that_widens_the_range_little_is_kept():
    frames = [frame(seed) for seed in range(30)]
    frames[3][4, 4] = HIGH + 500
    assert advice(frames) == (LOW, HIGH + 500)


# --- in the words of the command


@pytest.fixture
def mine(tmp_path) -> Path:
    """A set in folders, two cameras, with deep thermal images."""
    for s, (split, names) in enumerate(
        {"train": ("1_c1", "2_c1", "3_c2", "4_c2"), "query": ("5_c1",), "gallery": ("5_c2",)}.items()
    ):
        for n, name in enumerate(names):
            for m, modality in enumerate("RNT"):
                path = tmp_path / "mine" / split / modality / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                raw = frame(100 * s + 10 * n + m)
                Image.fromarray(raw if modality == "T" else (raw // 64).astype(np.uint8)).save(path)
    return tmp_path / "mine"


def said(root: Path, deep_range: tuple[int, int] = DEEP_RANGE) -> list[str]:
    dataset = read("folder", root)
    return list(image_warnings(dataset, verify(dataset, deep_range=deep_range), deep_range))


def rewrite(path: Path, change) -> None:
    with Image.open(path) as image:
        raw = np.array(image)
    Image.fromarray(change(raw)).save(path)


def hot(raw: np.ndarray) -> np.ndarray:
    raw[3, 3] = 65535
    return raw


def test_a_hot_pixel_leaves_the_advice_and_its_share_is_told(mine):
    rewrite(mine / "train/T/1_c1.png", hot)
    (sentence,) = said(mine)
    assert f"hold values from {LOW} to 65535" in sentence
    assert (
        f"; deep_range={LOW},{HIGH} would tell them apart better (at most 0.017 % of the values" in sentence
    )


def test_the_advised_range_is_taken_and_answered_with_no_further_advice(mine):
    rewrite(mine / "train/T/1_c1.png", hot)
    check_deep_range((LOW, HIGH))
    (sentence,) = said(mine, (LOW, HIGH))
    assert sentence.endswith("; what lies outside is cut, 0.016 % of the values")


def test_a_range_that_cuts_much_is_answered_with_a_wider_one(mine):
    (sentence,) = said(mine, (LOW, 9000))
    assert "; what lies outside is cut, 4" in sentence
    assert sentence.endswith(f"; deep_range={LOW},{HIGH} would tell them apart better")


def test_a_camera_of_another_range_is_named(mine):
    for path in mine.glob("*/T/*_c2.png"):
        rewrite(path, lambda raw: raw + 20000)
    sentences = said(mine)
    assert len(sentences) == 2
    assert "the images of camera " in sentences[1]
    assert "27260 to 30188" in sentences[1]
    assert "one deep_range does not suit both" in sentences[1]


def test_a_modality_of_another_range_is_named(mine):
    for path in mine.glob("*/N/*.png"):
        rewrite(path, lambda raw: raw.astype(np.uint16) * 4)
    assert any("the images of modality " in sentence for sentence in said(mine))


def test_nearly_blank_deep_frames_are_counted_and_named(mine):
    rewrite(mine / "train/T/2_c1.png", lambda raw: (raw % 3).astype(np.uint16))
    sentences = said(mine)
    assert f"deep_range={LOW},{HIGH} would" in sentences[0]
    assert (
        "1 files of more than 8 bits hold next to one value only, as blank frames do: train/T/2_c1.png"
        in sentences[1]
    )
