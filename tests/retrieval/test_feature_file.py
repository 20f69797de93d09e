"""Features on the disk: what was written is read, by us and by the libraries alone, and a bad file is named."""

import json
import sys

import numpy as np
import pytest

from man_jax.retrieval import feature_file
from man_jax.retrieval.errors import FeatureFileError
from man_jax.retrieval.feature_file import FeatureFile, read_features, write_features

FILE = FeatureFile(
    features=np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32),
    paths=[(f"a/{i}.jpg", f"größe/{i} 车.png") for i in range(4)] + [("", "caf\udce9.jpg")],
    modalities=("R", "T"),
    pids=np.array([3, 3, 7, -1, 2**40]),
    camids=np.array([0, 1, -1, 2, 5]),
    about={"run": "runs/demo", "image_size": [256, 128], "größe": None},
)

BOTH = pytest.mark.parametrize("suffix", [".npz", ".parquet"])


def assert_equal(found: FeatureFile, wanted: FeatureFile) -> None:
    assert found.features.dtype == np.float32
    assert {found.pids.dtype, found.camids.dtype} == {np.dtype(np.int64)}
    for name in ("features", "pids", "camids"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
    assert (found.paths, found.modalities, found.about) == (wanted.paths, wanted.modalities, wanted.about)


@BOTH
def test_what_is_written_is_read_to_the_bit_with_names_of_any_bytes(tmp_path, suffix):
    write_features(tmp_path / f"deep/er/features{suffix}", FILE)
    assert_equal(read_features(tmp_path / f"deep/er/features{suffix}"), FILE)
    assert [path.name for path in (tmp_path / "deep/er").iterdir()] == [f"features{suffix}"]


@BOTH
def test_a_file_of_no_triple_is_read_as_one(tmp_path, suffix):
    none = FILE._replace(
        features=np.zeros((0, 4), np.float32), paths=[], pids=FILE.pids[:0], camids=FILE.pids[:0]
    )
    write_features(tmp_path / f"none{suffix}", none)
    assert_equal(read_features(tmp_path / f"none{suffix}"), none)


def test_features_in_several_pieces_are_joined_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_file, "PIECE_BYTES", 2 * 4 * 4)  # two rows
    write_features(tmp_path / "pieces.parquet", FILE)
    assert_equal(read_features(tmp_path / "pieces.parquet"), FILE)


def test_numpy_alone_opens_the_file_without_pickle(tmp_path):
    write_features(tmp_path / "features.npz", FILE)
    with np.load(tmp_path / "features.npz", allow_pickle=False) as found:
        assert found["paths"][1].tolist() == ["a/1.jpg", "größe/1 车.png"]
        assert json.loads(str(found["about"]))["run"] == "runs/demo"


def test_pyarrow_alone_reads_the_columns(tmp_path):
    import pyarrow.parquet as parquet

    write_features(tmp_path / "features.parquet", FILE)
    table = parquet.read_table(tmp_path / "features.parquet")
    assert table.column_names == ["R", "T", "pid", "camid", "features"]
    assert table["R"].to_pylist()[:2] == ["a/0.jpg", "a/1.jpg"]
    np.testing.assert_array_equal(np.stack(table["features"].to_numpy()), FILE.features)


@BOTH
@pytest.mark.parametrize("failure", [OSError("no room"), KeyboardInterrupt()])
def test_a_write_that_ends_early_leaves_the_old_file_and_no_half_one(tmp_path, monkeypatch, suffix, failure):
    path = tmp_path / f"features{suffix}"
    write_features(path, FILE)

    def fail(*_):
        raise failure

    monkeypatch.setattr(feature_file.os, "fsync", fail)
    with pytest.raises(type(failure)):
        write_features(path, FILE._replace(about={}))
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert_equal(read_features(path), FILE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pids": FILE.pids[:3]}, "features of 5 triples and pids of 3"),
        ({"paths": [("a", "b")] * 4}, "features of 5 triples and paths of 4"),
        ({"paths": [("a",)] * 5}, "triple 0 has 1 paths, and there are 2 modalities"),
        ({"features": FILE.features[0]}, "must be [N, D], and are [4]"),
    ],
)
def test_parts_that_do_not_fit_each_other_are_not_written(tmp_path, change, message):
    with pytest.raises(FeatureFileError) as caught:
        write_features(tmp_path / "features.npz", FILE._replace(**change))
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["features", "features.csv", "features.npy"])
def test_another_suffix_is_refused_with_those_there_are(tmp_path, name):
    for call in (lambda path: write_features(path, FILE), read_features):
        with pytest.raises(FeatureFileError, match=r"end in \.npz or \.parquet"):
            call(tmp_path / name)


def write_bad(path, kind):
    if kind == "cut":
        write_features(path, FILE)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "text":
        path.write_text("features")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "folder":
        path.mkdir()
    elif kind == "foreign" and path.suffix == ".npz":
        np.savez(path, features=FILE.features)
    elif kind == "foreign":
        import pyarrow as pa
        import pyarrow.parquet as parquet

        parquet.write_table(pa.table({"features": [1.0]}), path)
    elif kind == "pickle":
        np.savez(path.with_suffix(".npz"), **dict.fromkeys(feature_file.ARRAYS, np.array([{}], object)))


@BOTH
@pytest.mark.parametrize("kind", ["missing", "cut", "text", "empty", "folder", "foreign"])
def test_a_file_that_holds_no_features_is_named_in_one_line(tmp_path, suffix, kind):
    path = tmp_path / f"bad{suffix}"
    write_bad(path, kind)
    with pytest.raises(FeatureFileError) as caught:
        read_features(path)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value).splitlines()) == 1


def test_a_pickle_in_the_file_is_not_opened(tmp_path):
    write_bad(tmp_path / "bad.npz", "pickle")
    with pytest.raises(FeatureFileError, match="pickle"):
        read_features(tmp_path / "bad.npz")


def test_without_pyarrow_the_remedy_is_told_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(FeatureFileError, match=r"pip install 'man_jax\[parquet\]'.*\.npz"):
        feature_file.check_feature_path(tmp_path / "features.parquet")
