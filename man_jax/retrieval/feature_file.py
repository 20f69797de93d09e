"""Write and read features of triples with the paths of their images, as `.npz` or `.parquet`.

An `.npz` file opens with `numpy.load` alone and holds no pickle. It has the arrays `features` [N, D], `paths` [N, M],
`modalities` [M], `pids` [N], `camids` [N], and `about`, a text of JSON. A `.parquet` file has a row for each triple:
the columns `features` (a list of D numbers), `pid`, `camid`, and one column of paths for each modality, such as `R`.
There the JSON is in the metadata of the file, under `man_jax`. Parquet needs pyarrow.
"""

import json
import os
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import IO, Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int64

from man_jax.retrieval.errors import FeatureFileError

ARRAYS = ("features", "paths", "modalities", "pids", "camids", "about")
SUFFIXES = (".npz", ".parquet")
METADATA = b"man_jax"
PIECE_BYTES = 64 << 20
"""Bytes of the features that are turned into Parquet at once, so that memory holds them once and not twice."""


class FeatureFile(NamedTuple):
    """Unit features of N triples, and what is known of the triples."""

    features: Float32[np.ndarray, "N D"]
    paths: list[tuple[str, ...]]
    """The paths of each triple, one for each modality; "" for an image that was in no file."""
    modalities: tuple[str, ...]
    """The letters of the modalities that the features are made of, such as ("R", "N")."""
    pids: Int64[np.ndarray, " N"]
    """−1: the identity is unknown."""
    camids: Int64[np.ndarray, " N"]
    """−1: the camera is unknown."""
    about: dict[str, Any]
    """How the features were made, such as the run and its weights; whatever JSON can hold."""


def check_feature_path(path: Path) -> None:
    """Check that a file of this name can hold features, and that its library is installed; FeatureFileError if not."""
    if path.suffix.lower() not in SUFFIXES:
        raise FeatureFileError(
            f"{path}: features are kept in files that end in {' or '.join(SUFFIXES)}; rename it"
        )
    if path.suffix.lower() == ".parquet":
        _parquet(path)


def partial_of(path: Path) -> Path:
    """Name the file that `write_features` fills before it gets the name `path`."""
    return path.with_name(path.name + ".partial")


def holds_features(path: Path) -> bool:
    """Tell whether a file is one of features; a Parquet file may be a table of something else."""
    if path.suffix.lower() != ".parquet":
        return path.suffix.lower() in SUFFIXES
    try:
        return path.is_file() and METADATA in (_parquet(path).read_schema(path).metadata or {})
    except (OSError, ValueError):
        return False


def write_features(path: str | os.PathLike[str], file: FeatureFile) -> None:
    """Write features to `path`, an `.npz` or `.parquet` file. A file of that name is kept until the new one is whole.

    Raises:
        FeatureFileError: the suffix is another, pyarrow is missing, or the parts do not fit each other.
        OSError: the disk refuses; nothing of the new file is left.
    """
    path = Path(path)
    check_feature_path(path)
    _check_parts(path, file)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(path)
    write = _write_parquet if path.suffix.lower() == ".parquet" else _write_npz
    try:
        with partial.open("wb") as stream:
            write(path, file, stream)
            stream.flush()
            os.fsync(stream.fileno())  # the name must not move before the bytes are there
        partial.replace(path)
    except BaseException:  # an interruption too leaves nothing
        with suppress(OSError):
            partial.unlink()
        raise


def read_features(path: str | os.PathLike[str]) -> FeatureFile:
    """Read what `write_features` wrote.

    Raises:
        FeatureFileError: there is no such file, it is damaged or of another kind, or pyarrow is missing.
    """
    path = Path(path)
    check_feature_path(path)
    if not path.is_file():
        raise FeatureFileError(
            f"{path} {'is no file' if path.exists() else 'does not exist'}; name a file of features"
        )
    read: Callable[[Path], FeatureFile] = _read_parquet if path.suffix.lower() == ".parquet" else _read_npz
    try:
        file = read(path)
    except FeatureFileError:
        raise
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FeatureFileError(
            f"{path}: cannot be read as features ({reason}); write it again, or name another file"
        ) from error
    _check_parts(path, file)
    return file


def _check_parts(path: Path, file: FeatureFile) -> None:
    """Check that all parts are of the same triples."""
    shape = np.shape(file.features)
    if len(shape) != 2:
        raise FeatureFileError(f"{path}: the features must be [N, D], and are {list(shape)}")
    for name in ("paths", "pids", "camids"):
        if (length := len(getattr(file, name))) != shape[0]:
            raise FeatureFileError(f"{path}: there are features of {shape[0]} triples and {name} of {length}")
    for place, row in enumerate(file.paths):
        if len(row) != len(file.modalities):
            raise FeatureFileError(
                f"{path}: triple {place} has {len(row)} paths, and there are {len(file.modalities)} modalities"
            )


def _about_text(file: FeatureFile, **more: Any) -> str:
    return json.dumps(file.about | more)  # only ASCII, so that any file can hold it


def _write_npz(path: Path, file: FeatureFile, stream: IO[bytes]) -> None:
    del path
    paths = np.array(file.paths, np.str_).reshape(len(file.paths), len(file.modalities))
    np.savez(
        stream,
        features=np.asarray(file.features, np.float32),
        paths=paths,
        modalities=np.array(file.modalities, np.str_),
        pids=np.asarray(file.pids, np.int64),
        camids=np.asarray(file.camids, np.int64),
        about=np.array(_about_text(file)),
    )


def _read_npz(path: Path) -> FeatureFile:
    # Opened here, because numpy leaves a file open that is no archive.
    with path.open("rb") as stream, np.lib.npyio.NpzFile(stream, allow_pickle=False) as found:
        if lacking := [name for name in ARRAYS if name not in found.files]:
            raise ValueError(f"it has no array {', '.join(lacking)}")
        return FeatureFile(
            np.asarray(found["features"], np.float32),
            [tuple(row) for row in found["paths"].tolist()],
            tuple(found["modalities"].tolist()),
            np.asarray(found["pids"], np.int64),
            np.asarray(found["camids"], np.int64),
            json.loads(str(found["about"])),
        )


def _parquet(path: Path) -> ModuleType:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise FeatureFileError(
            f"{path}: Parquet needs pyarrow; install it (pip install 'man_jax[parquet]'), or name an .npz file"
        ) from error
    return parquet


def _write_parquet(path: Path, file: FeatureFile, stream: IO[bytes]) -> None:
    import pyarrow as pa

    num_triples, width = file.features.shape
    columns = [[row[place] for row in file.paths] for place in range(len(file.modalities))]
    texts = [pa.string() if all(map(_is_utf8, column)) else pa.binary() for column in columns]
    schema = pa.schema(
        [
            *(pa.field(name, text) for name, text in zip(file.modalities, texts, strict=True)),
            pa.field("pid", pa.int64()),
            pa.field("camid", pa.int64()),
            pa.field("features", pa.list_(pa.float32(), width)),
        ],
        metadata={METADATA: _about_text(file, modalities=list(file.modalities))},
    )
    step = max(1, PIECE_BYTES // max(1, 4 * width))
    with _parquet(path).ParquetWriter(stream, schema) as writer:
        for start in range(0, num_triples, step):
            rows = slice(start, start + step)
            features = np.ascontiguousarray(file.features[rows], np.float32)
            arrays = [
                *(
                    pa.array([_encoded(each, text) for each in column[rows]], text)
                    for column, text in zip(columns, texts, strict=True)
                ),
                pa.array(np.asarray(file.pids[rows], np.int64)),
                pa.array(np.asarray(file.camids[rows], np.int64)),
                pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), width),
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _read_parquet(path: Path) -> FeatureFile:
    found = _parquet(path).ParquetFile(path)
    metadata = found.schema_arrow.metadata or {}
    if METADATA not in metadata:
        raise ValueError("its metadata has no entry man_jax")
    about = json.loads(metadata[METADATA])
    modalities = tuple(about.pop("modalities"))
    width = found.schema_arrow.field("features").type.list_size
    features = np.empty((found.metadata.num_rows, width), np.float32)
    paths, pids, camids, start = [], [], [], 0
    for batch in found.iter_batches(max(1, PIECE_BYTES // max(1, 4 * width))):
        end = start + batch.num_rows
        features[start:end] = batch["features"].flatten().to_numpy().reshape(-1, width)
        columns = [[_decoded(each) for each in batch[name].to_pylist()] for name in modalities]
        paths.extend(zip(*columns, strict=True))
        pids.append(batch["pid"].to_numpy())
        camids.append(batch["camid"].to_numpy())
        start = end
    none = np.empty(0, np.int64)  # a file of no triple has no batch
    all_pids, all_camids = np.concatenate([none, *pids]), np.concatenate([none, *camids])
    return FeatureFile(features, paths, modalities, all_pids, all_camids, about)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _encoded(text: str, kind: Any) -> str | bytes:
    """Give the bytes of a name that is not UTF-8, because a column of text cannot hold it."""
    return text if str(kind) == "string" else text.encode("utf-8", "surrogateescape")


def _decoded(cell: str | bytes) -> str:
    return cell.decode("utf-8", "surrogateescape") if isinstance(cell, bytes) else cell
