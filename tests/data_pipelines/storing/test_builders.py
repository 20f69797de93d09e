import hashlib
import itertools
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from absl import logging
from PIL import Image

from data_pipelines.reading.readers import rgbnt100, wmveid863
from data_pipelines.reading.records import DataError
from data_pipelines.storing import builders, shards
from data_pipelines.storing.images import ImageSettings
from tests.data_pipelines.preparing import SIZE, prepare
from tests.data_pipelines.trees import (
    MODALITY_COLOURS,
    write_picture,
    write_rgbnt100,
    write_rgbnt100_picture,
    write_wmveid863,
)


def _finished(tree: Path) -> list[Path]:
    return list((tree.parent / "out").rglob("dataset_info.json"))


def test_a_prepared_split_carries_the_table_of_its_triples(tree):
    query = builders.load(prepare(tree)).query
    assert query.pids.tolist() == [100, 101]
    assert query.camids.tolist() == query.groups.tolist() == [1, 3]
    assert query.scenes.tolist() == [-1, -1]
    assert query.names == ["v1_n1_s001_001.jpg", "v3_n1_s001_001.jpg"]


def test_a_prepared_data_set_knows_its_protocol(tree):
    prepared = builders.load(prepare(tree))
    assert (prepared.name, prepared.removal, prepared.image_size) == ("wmveid863", "camid", SIZE)


@pytest.mark.parametrize(("reader", "write"), [(rgbnt100, write_rgbnt100), (wmveid863, write_wmveid863)])
def test_images_are_in_the_order_rgb_near_thermal(tmp_path, reader, write):
    dataset = reader.read(write(tmp_path / "source"))
    train = builders.load(builders.prepare(dataset, tmp_path / "out", image_size=SIZE)).train
    assert (train[0].shape, train[0].dtype) == ((3, *SIZE, 3), np.uint8)
    expected = np.broadcast_to(np.array(MODALITY_COLOURS)[:, None, None], train[0].shape)
    np.testing.assert_allclose(train[0], expected, atol=3)  # JPEG


def test_the_ith_image_belongs_to_the_ith_row(tree):
    for i, path in enumerate(sorted(tree.glob("train/*/vis/*.jpg"))):
        write_picture(path, (50 * i, 50 * i, 50 * i))
    train = builders.load(prepare(tree)).train
    np.testing.assert_allclose(
        [image[0].mean() for image in map(train.__getitem__, range(3))], [0, 50, 100], atol=2
    )


def test_images_are_what_pillow_makes_of_them(tree):
    path = tree / "train/0007/vis/v1_n1_s001_001.png"
    noise = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    for modality in ("vis", "ni", "th"):
        Image.fromarray(noise).save(tree / "train/0007" / modality / path.name)
    prepared = builders.load(prepare(tree)).train
    expected = Image.fromarray(noise).resize((12, 16), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(prepared[prepared.names.index(path.name)][0], np.asarray(expected))


def test_grey_images_become_rgb(tree):
    for path in tree.glob("train/*/th/*.jpg"):
        Image.new("L", (20, 20), 77).save(path)
    assert (builders.load(prepare(tree)).train[0][2] == 77).all()


def test_a_split_in_memory_holds_the_same_bytes(tree):
    train = builders.load(prepare(tree)).train
    in_memory = train.in_memory()
    np.testing.assert_array_equal(in_memory.read(np.array([2, 0])), train.read(np.array([2, 0])))
    np.testing.assert_array_equal(in_memory.pids, train.pids)


def test_a_split_that_was_read_survives_pickling(tree):
    train = builders.load(prepare(tree)).train
    image = train[1]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(train))[1], image)


def test_an_unchanged_source_is_not_prepared_again(tree, monkeypatch):
    prepared = prepare(tree)
    monkeypatch.setattr(shards, "read_triple", lambda *_, **__: pytest.fail("decoded again"))
    assert prepare(tree) == prepared


def test_a_changed_source_is_prepared_again(tree):
    prepare(tree)
    write_picture(tree / "train/0007/vis/v1_n1_s001_001.jpg", (0, 0, 0), size=(41, 24))
    assert builders.load(prepare(tree)).train[0][0].max() < 3


def test_a_file_that_was_changed_to_one_of_the_same_size_is_noticed(tree, monkeypatch):
    prepare(tree)
    path = tree / "train/0007/vis/v1_n1_s001_001.jpg"
    before = path.stat()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    read_triple, decoded = shards.read_triple, []
    monkeypatch.setattr(
        shards, "read_triple", lambda record, **sizes: decoded.append(record) or read_triple(record, **sizes)
    )
    prepare(tree)
    assert decoded


def test_an_added_triple_is_noticed(tree):
    prepare(tree)
    write_wmveid863(tree, {"train": ["0013/v1_n1_s001_001.jpg"]})
    assert builders.load(prepare(tree)).train.pids.tolist() == [7, 7, 12, 13]


def test_two_sizes_live_side_by_side(tree):
    small = prepare(tree)
    large = builders.prepare(wmveid863.read(tree), tree.parent / "out", image_size=(20, 20))
    assert builders.load(small).train[0].shape[1:3] == SIZE
    assert builders.load(large).train[0].shape[1:3] == (20, 20)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize(
    "damage", [_truncate, lambda path: path.write_bytes(b"no image"), lambda path: path.write_bytes(b"")]
)
def test_an_unreadable_image_is_named_and_nothing_looks_finished(tree, damage):
    path = tree / "test/0101/ni/v1_n1_s001_001.jpg"
    damage(path)
    with pytest.raises(DataError, match=f"{path}: cannot be read"):
        prepare(tree)
    assert not _finished(tree)


def test_an_rgbnt100_picture_of_another_size_is_named(tmp_path):
    base = write_rgbnt100(tmp_path / "source")
    write_rgbnt100_picture(base / "query/0502_c0001_000.jpg", size=(384, 64))
    with pytest.raises(DataError, match=r"0502_c0001_000\.jpg: is 384x64 pixels, expected 768x128"):
        builders.prepare(rgbnt100.read(base), tmp_path / "out", image_size=SIZE)


def test_sixteen_bit_images_are_scaled_from_the_range_given(tree):
    for path in tree.glob("train/*/th/*.jpg"):
        Image.fromarray(np.full((20, 20), 1500, np.uint16)).save(path, format="PNG")
    dataset = wmveid863.read(tree)

    def thermal(**settings) -> builders.PreparedSplit:
        return builders.load(
            builders.prepare(dataset, tree.parent / "out", image_size=SIZE, **settings)
        ).train

    usual, narrow = thermal(), thermal(deep_range=(1000, 2000))
    assert (usual[0][2] == 6).all()  # 1500 / 257; opened only now, after the other was written
    assert (narrow[0][2] == 128).all()


def test_ranges_have_folders_of_their_own_and_the_usual_one_is_named_by_the_root(tree):
    dataset, out = wmveid863.read(tree), tree.parent / "out"
    ranges = [(0, 65535), (1000, 2000), (1000, 2001)]
    folders = [
        builders.preparation_folder(dataset, out, ImageSettings(SIZE, deep_range)) for deep_range in ranges
    ]
    assert len(set(folders)) == 3
    digest = hashlib.sha256(str(dataset.root.resolve()).encode()).hexdigest()[:8]
    assert folders[0] == out / f"wmveid863_16x12_{digest}"


def test_a_set_that_was_verified_in_a_range_is_prepared_beside_what_was_found(tree):
    dataset, out = wmveid863.read(tree), tree.parent / "out"
    builders.verify_once(dataset, out, ImageSettings(SIZE, (1000, 2000)))
    builders.prepare(dataset, out, image_size=SIZE, deep_range=(1000, 2000))
    assert len(list(out.iterdir())) == 1


def test_a_range_that_is_none_is_refused(tree):
    with pytest.raises(DataError, match="deep_range is 2000, 1000; it must be two rising values"):
        builders.prepare(wmveid863.read(tree), tree.parent / "out", image_size=SIZE, deep_range=(2000, 1000))


def test_two_roots_of_one_set_live_side_by_side(tree, tmp_path):
    first = prepare(tree)
    other = write_wmveid863(tmp_path / "other", {"train": ["0013/v1_n1_s001_001.jpg"]})
    second = builders.prepare(wmveid863.read(other), tree.parent / "out", image_size=SIZE)
    assert [len(builders.load(path).train) for path in (first, second)] == [3, 1]


@pytest.mark.parametrize("size", [(0, 128), (256, -1)])
def test_a_size_that_is_not_positive_is_refused(tree, size):
    with pytest.raises(ValueError, match="must be positive"):
        builders.prepare(wmveid863.read(tree), tree.parent / "out", image_size=size)


def test_an_interrupted_preparation_leaves_nothing_and_can_be_repeated(tree, monkeypatch):
    read_triple, calls = shards.read_triple, itertools.count()

    def interrupted(*args, **settings):
        if next(calls) == 4:
            raise KeyboardInterrupt
        return read_triple(*args, **settings)

    monkeypatch.setattr(shards, "read_triple", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(tree)
    assert not _finished(tree)
    assert len(builders.load(prepare(tree)).gallery) == 3


def test_a_killed_preparation_leaves_nothing_that_looks_finished(tree):
    program = """
import itertools, os, sys
from pathlib import Path
from data_pipelines.storing import builders
from data_pipelines.storing import shards
from data_pipelines.reading.readers import wmveid863
read_triple, calls = shards.read_triple, itertools.count()
shards.read_triple = lambda *args, **kw: os._exit(9) if next(calls) == 4 else read_triple(*args, **kw)
tree = Path(sys.argv[1])
builders.prepare(wmveid863.read(tree), tree.parent / "out", image_size=(16, 12))
"""
    assert subprocess.run([sys.executable, "-c", program, str(tree)], capture_output=True).returncode == 9
    assert not _finished(tree)
    prepared = prepare(tree)
    assert [path.name for path in prepared.parent.iterdir()] == [prepared.name]


def test_a_folder_that_was_not_prepared_is_refused(tmp_path):
    with pytest.raises(DataError, match="not a prepared data set"):
        builders.load(tmp_path)


def test_a_shard_that_lost_triples_is_noticed(tree):
    prepared = prepare(tree)
    table = prepared / "metadata.json"
    table.write_text(table.read_text().replace('"pid": [7, 7, 12]', '"pid": [7, 7, 12, 12]'))
    with pytest.raises(DataError, match="shards of train hold 3 triples, the table 4"):
        builders.load(prepared)


def test_prepare_dataset_logs_the_warnings(tree, monkeypatch):
    (tree / "query/0101/th/v3_n1_s001_001.jpg").unlink()
    logged = []
    monkeypatch.setattr(logging, "warning", lambda message, *args: logged.append(message % args))
    prepared = builders.prepare_dataset("wmveid863", tree, tree.parent / "out", SIZE)
    assert len(prepared.query) == 1
    assert "query/0101/ni/v3_n1_s001_001.jpg" in logged[0]


def test_unanswerable_queries_stop_before_anything_is_decoded(tree):
    (tree / "test/0100/vis/v2_n1_s001_001.jpg").unlink()
    (tree / "test/0101/vis/v1_n1_s001_001.jpg").unlink()
    with pytest.raises(DataError, match="2 of 2 queries"):
        builders.prepare_dataset("wmveid863", tree, tree.parent / "out", SIZE)
    assert not (tree.parent / "out").exists()


def test_tensorflow_is_never_imported(tree):
    program = """
import sys
from data_pipelines.storing import builders
from data_pipelines.loading import loader
prepared = builders.prepare_dataset("wmveid863", sys.argv[1], sys.argv[2], (16, 12))
assert next(loader.evaluation_batches(prepared.query, 2))["images"].any()
print("tensorflow" in sys.modules, "man_jax" in sys.modules)
"""
    command = [sys.executable, "-c", program, str(tree), str(tree.parent / "out")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "False"]
