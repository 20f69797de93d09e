"""Small trees in the exact formats of the real data sets, with pictures whose colours say what they are."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

RGBNT100_SPLITS = {
    "bounding_box_train": ("0001_c0001_000.jpg", "0001_c0002_001.jpg", "0003_c0001_000.jpg"),
    "query": ("0502_c0001_000.jpg", "0503_c0002_000.jpg"),
    "bounding_box_test": ("0502_c0001_000.jpg", "0502_c0003_001.jpg", "0503_c0001_000.jpg"),
}
WMVEID863_SPLITS = {
    "train": ("0007/v1_n1_s001_001.jpg", "0007/v2_n1_s001_002.jpg", "0012/v0_n1_s999_011.jpg"),
    "query": ("0100/v1_n1_s001_001.jpg", "0101/v3_n1_s001_001.jpg"),
    "test": ("0100/v1_n1_s001_001.jpg", "0100/v2_n1_s001_001.jpg", "0101/v1_n1_s001_001.jpg"),
}
MODALITY_COLOURS = ((220, 30, 30), (30, 220, 30), (30, 30, 220))
MODALITY_FOLDERS = ("vis", "ni", "th")


def write_picture(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (40, 24)) -> None:
    """A picture of one colour; `size` = (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, quality=95)


def write_rgbnt100_picture(path: Path, size: tuple[int, int] = (768, 128)) -> None:
    """The three modality colours side by side."""
    pixels = np.repeat(np.array(MODALITY_COLOURS, np.uint8), size[0] // 3, axis=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.tile(pixels, (size[1], 1, 1))).save(path, quality=95)


def write_rgbnt100(base: Path, splits: dict[str, Iterable[str]] | None = None) -> Path:
    for folder, names in (RGBNT100_SPLITS | (splits or {})).items():
        (base / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            write_rgbnt100_picture(base / folder / name)
    return base


def write_wmveid863(base: Path, splits: dict[str, Iterable[str]] | None = None) -> Path:
    for folder, names in (WMVEID863_SPLITS | (splits or {})).items():
        (base / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            identity, file_name = name.split("/")
            for modality, colour in zip(MODALITY_FOLDERS, MODALITY_COLOURS, strict=True):
                write_picture(base / folder / identity / modality / file_name, colour)
    return base
