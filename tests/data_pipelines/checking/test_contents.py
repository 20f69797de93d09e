"""What is kept of the files' contents, and what two data sets are told to share by it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_pipelines.checking.contents import FILE, read_contents
from data_pipelines.checking.overlap import overlap_warnings
from data_pipelines.storing import builders
from data_pipelines.storing.prepared import PreparedDataset

SIZE = (16, 16)
MODALITIES = ("R", "N", "T")


def write(root: Path, seed: int) -> Path:
    """A set in folders with pictures of its own for each seed; its camera T is dead in one triple a split."""
    for s, split in enumerate(("train", "query", "gallery")):
        for pid in (1, 2, 3):
            for m, modality in enumerate(MODALITIES):
                coarse = np.random.default_rng([seed, s, pid, m]).integers(0, 255, (6, 6, 3)).astype(np.uint8)
                path = root / split / modality / f"{pid}_c{s}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                image = Image.new("RGB", (40, 40)) if (pid, modality) == (3, "T") else Image.fromarray(coarse)
                image.resize((40, 40)).save(path)
    return root


def prepared(root: Path, **settings) -> PreparedDataset:
    return builders.prepare_dataset("folder", root, root.parent / "out", SIZE, **settings)


def overlap(source: PreparedDataset, target: PreparedDataset) -> tuple[str, ...]:
    return overlap_warnings(source, target, same_numbering=False)


@pytest.fixture(scope="module")
def roots(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("sets")
    return write(folder / "source", 0), write(folder / "target", 1)


def test_two_sets_without_a_picture_in_common_need_no_word_though_a_camera_of_both_is_dead(roots):
    source, target = (prepared(root) for root in roots)
    assert source.train.contents is not None
    assert source.train.contents.looks.any(axis=-1).tolist() == [[True] * 3, [True] * 3, [True, True, False]]
    names_only = overlap(source, target)
    assert not any("bytes" in text or "near-copies" in text for text in names_only)


@pytest.mark.parametrize("split", ["query", "gallery"])
def test_a_training_file_of_the_source_in_the_target_s_test_is_named_under_whatever_name(
    roots, tmp_path, split
):
    source = prepared(roots[0])
    target = tmp_path / "target"
    shutil.copytree(roots[1], target)
    shutil.copyfile(roots[0] / "train/N/2_c0.png", target / split / "N/1_c7_other.png")
    for modality in ("R", "T"):
        shutil.copyfile(
            target / split / modality / f"1_c{2 - (split == 'query')}.png",
            target / split / modality / "1_c7_other.png",
        )
    sentences = overlap(source, prepared(target))
    assert sentences[-1] == (
        "folder → folder: files of 1 triples of the source's train have the very bytes of files of the target's "
        "test: 2_c0.png = 1_c7_other.png"
    )


def test_a_training_file_encoded_anew_is_a_near_copy(roots, tmp_path):
    target = tmp_path / "target"
    shutil.copytree(roots[1], target)
    for modality in MODALITIES:
        with Image.open(roots[0] / "train" / modality / "1_c0.png") as image:
            image.resize((60, 60)).save(target / "gallery" / modality / "9_c1.jpg", quality=70)
    sentences = overlap(prepared(roots[0]), prepared(target))
    assert "1 triples of the source's train are near-copies (encoded anew or rescaled)" in sentences[-1]
    assert sentences[-1].endswith("1_c0.png ≈ 9_c1.jpg")


def test_some_modalities_have_their_own_contents(roots):
    whole, part = prepared(roots[0]).train.contents, prepared(roots[0], modalities=("T",)).train.contents
    assert whole is not None
    assert part is not None
    np.testing.assert_array_equal(part.digests, whole.digests[:, 2:])
    np.testing.assert_array_equal(part.looks, whole.looks[:, 2:])


def test_contents_of_other_data_and_damaged_ones_count_as_none(roots, tmp_path):
    folder = builders.prepare(builders.read("folder", roots[0]), roots[0].parent / "out", image_size=SIZE)
    table = builders.read_table(folder)
    assert table is not None
    kept = folder.parents[1] / FILE
    assert read_contents(kept, "train", table["fingerprint"]) is not None
    assert read_contents(kept, "train", "another") is None
    (tmp_path / "half.npz").write_bytes(kept.read_bytes()[:200])
    assert read_contents(tmp_path / "half.npz", "train", table["fingerprint"]) is None
    assert read_contents(tmp_path / "gone.npz", "train", table["fingerprint"]) is None
