"""Small trees in the exact formats of the real data sets, with pictures whose colours say what they are."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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


def write_triples(base: Path, names: Iterable[str], modalities: Sequence[str]) -> Path:
    """`base/[identity/]<modality>/name`, coloured by modality, for names with or without their identity folder."""
    for name in names:
        identity, _, file_name = name.rpartition("/")
        for modality, colour in zip(modalities, MODALITY_COLOURS, strict=False):
            write_picture(base / identity / modality / file_name, colour)
    return base


@dataclass(frozen=True)
class Tree:
    """A set of three-file triples: its names by split, and its modality folders."""

    names: Mapping[str, Sequence[str]]
    modalities: tuple[str, str, str]
    by_identity: bool


MSVR310_SPLITS = {
    "train": ("0094/0094_s023_v1_007.jpg", "0094/0094_s024_v0_001.jpg", "0101/0101_s001_v7_002.jpg"),
    "query": ("0200/0200_s001_v0_001.jpg", "0310/0310_s002_v2_003.jpg"),
    "gallery": ("0200/0200_s001_v0_001.jpg", "0200/0200_s009_v0_002.jpg", "0310/0310_s003_v2_004.jpg"),
}
TREES = {
    "msvr310": Tree(MSVR310_SPLITS, ("vis", "ni", "th"), by_identity=True),
    "msvr310_neo": Tree(
        {
            "train": ("0094/v1_n1_s023_007.jpg", "0094/v0_n2_s024_001.jpg", "0101/v7_n1_s001_002.jpg"),
            "query": ("0200/v0_n1_s001_001.jpg", "0310/v2_n1_s002_003.jpg"),
            "gallery": ("0200/v0_n1_s001_001.jpg", "0200/v0_n1_s009_002.jpg", "0310/v2_n1_s003_004.jpg"),
        },
        ("vis", "ni", "th"),
        by_identity=True,
    ),
    "wmveid863": Tree(
        {split: WMVEID863_SPLITS[split] for split in ("train", "query")}
        | {"gallery": WMVEID863_SPLITS["test"]},
        ("vis", "ni", "th"),
        by_identity=True,
    ),
    "rgbnt201": Tree(
        {
            "train": ("000001_cam1_0_00.jpg", "000001_cam4_1_03.jpg", "000017_cam2_0_00.jpg"),
            "query": (),  # what the gallery holds
            "gallery": ("000258_cam1_0_00.jpg", "000258_cam1_0_01.jpg", "000258_cam3_0_00.jpg"),
        },
        ("RGB", "NI", "TI"),
        by_identity=False,
    ),
    "market1501mm": Tree(
        {
            "train": ("0002_c1s1_000451_03.jpg", "0002_c6s2_000001_01.jpg", "0007_c3s3_077419_03.jpg"),
            "query": ("0003_c1s6_015971_00.jpg", "0005_c2s1_000001_00.jpg"),
            "gallery": (
                "-1_c1s1_000401_03.jpg",
                "0000_c1s1_000151_01.jpg",
                "0003_c4s6_015641_00.jpg",
                "0005_c1s1_001351_00.jpg",
            ),
        },
        ("RGB", "NI", "TI"),
        by_identity=False,
    ),
}
