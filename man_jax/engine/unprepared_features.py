"""Extract the features of triples that are in no prepared set, batch by batch, into one array."""

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Float32, UInt8

from data_pipelines.session.parallel import map_in_order
from data_pipelines.session.progress import track
from data_pipelines.storing.unprepared import UnpreparedTriples
from man_jax.array_math import unit
from man_jax.engine.trained_network import TrainedNetwork
from man_jax.networks.three_branch import concatenate_modalities
from man_jax.runs.compilation_notice import compiling
from man_jax.runs.hosts import check_same
from man_jax.sharding import local_rows, put_batch


class Extraction(NamedTuple):
    """The features of N triples, and the seconds that it took to read them and to compute."""

    features: Float32[np.ndarray, "N F"]
    seconds: float
    """Without those of the compilation."""


def extract_features(
    network: TrainedNetwork, triples: UnpreparedTriples, *, batch_size: int, mesh: Mesh
) -> Extraction:
    """Extract Unit(Cat(Unit(f_m))) of each triple, in order; all devices together take `batch_size` at once.

    Only the features are kept for all triples: the images are read shortly before they are used. The last batch is
    filled up with copies of its last triple, so that all batches have one shape and one program.

    Several processes read each its part of a batch, and all get all features.

    Raises:
        ConfigError: the processes have other triples.
        DataError: an image cannot be read any more.
        FloatingPointError: a feature is not finite.
    """
    names = "\n".join(Path(path).name for paths in triples.paths for path in paths)
    check_same({"the number of triples": len(triples), "the digest of their names": crc32(names.encode())})
    start, compiled = time.monotonic(), 0.0
    features = np.empty((len(triples), 0), np.float32)
    waiting: list[tuple[slice, Array]] = []
    for rows, images in _batches(triples, batch_size):
        if len(waiting) > 1:  # one batch is computed while the next one is read
            features = _put(features, *waiting.pop(0))
        with compiling(network.extract, "the network that takes features") as seconds:
            modal, *_ = network.extract(network.variables, put_batch(images, mesh))
        compiled += seconds()
        waiting.append((rows, _fused(modal)))
    for rows, fused in waiting:
        features = _put(features, rows, fused)
    return Extraction(features, time.monotonic() - start - compiled)


def _batches(
    triples: UnpreparedTriples, batch_size: int
) -> Iterator[tuple[slice, UInt8[np.ndarray, "B M H W 3"]]]:
    """Yield batches of images of equal shape, of several processes each its part, and the rows that all are for."""
    own, last = local_rows(batch_size), len(triples) - 1
    starts = range(0, len(triples), batch_size)
    # A process with no triple in the last batch takes the last one.
    parts = [range(start + own.start, min(start + own.stop, last + 1)) or (last,) for start in starts]
    images: Iterable[np.ndarray] = track(
        map_in_order(triples.read, [place for part in parts for place in part]),
        total=sum(map(len, parts)),
        description="features",
        unit="triple",
        process_index=jax.process_index(),
    )
    images = iter(images)
    for start, part in zip(starts, parts, strict=True):
        batch = list(islice(images, len(part)))
        rows = slice(start, min(start + batch_size, last + 1))
        yield rows, np.stack(batch + [batch[-1]] * (own.stop - own.start - len(batch)))


def _fused(modal: Float[Array, "M B D"]) -> Float[Array, "B F"]:
    # The same operations, one by one, as in the evaluation of some modalities: the result is the same to the bit.
    return unit(concatenate_modalities(modal))


def _put(features: np.ndarray, rows: slice, fused: Float[Array, "B F"]) -> np.ndarray:
    """Put the features of a batch in their rows; the first batch tells how long a feature is."""
    found = np.asarray(fused)[: rows.stop - rows.start]
    if not np.isfinite(found).all():
        raise FloatingPointError(
            f"the features of the triples {rows.start} to {rows.stop - 1} are not finite; the weights are broken: take "
            f"those of another checkpoint, or train again"
        )
    if not features.shape[1]:
        features = np.empty((len(features), found.shape[1]), np.float32)
    features[rows] = found
    return features
