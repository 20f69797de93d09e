"""Small files of features, drawn or written out, for tests of searching."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from man_jax.retrieval.feature_file import FeatureFile


def unit_rows(num_rows: int, width: int, *, seed: int = 0, clusters: int = 0) -> np.ndarray:
    """Draw unit rows; in `clusters` groups if that is not 0."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((num_rows, width))
    if clusters:
        centres = np.random.default_rng(99).standard_normal((clusters, width))
        rows = centres[np.arange(num_rows) % clusters] + 0.4 * rows
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def feature_file(features, *, paths=None, pids=None, camids=None, modalities="RN", about=None) -> FeatureFile:
    """Make a file of features in memory; what is not given is unknown."""
    number = len(features)
    unknown = np.full(number, -1)
    return FeatureFile(
        np.asarray(features, np.float32),
        paths or [("",) * len(modalities)] * number,
        tuple(modalities),
        np.asarray(unknown if pids is None else pids, np.int64),
        np.asarray(unknown if camids is None else camids, np.int64),
        about or {},
    )


def write_triples(
    folder: Path, *, split: str, pids: Sequence[int], modalities: str = "RN", seed: int = 0
) -> FeatureFile:
    """Write images of 40x20 pixels, of a colour for each pid, and draw features that lie together for each pid."""
    rng = np.random.default_rng(seed)
    paths = []
    for row, pid in enumerate(pids):
        files = []
        for letter in modalities:
            path = folder / split / letter / f"{pid}_c{row % 3}_{row}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            colour = [(60 + 37 * pid) % 256, (90 * pid) % 256, ord(letter)]
            Image.fromarray(np.full((20, 40, 3), colour, np.uint8)).save(path)
            files.append(str(path))
        paths.append(tuple(files))
    centres = np.random.default_rng(99).standard_normal((max(pids) + 1, 16))
    rows = centres[list(pids)] + 0.3 * rng.standard_normal((len(pids), 16))
    features = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    camids = [row % 3 for row in range(len(pids))]
    return feature_file(features, paths=paths, pids=pids, camids=camids, modalities=modalities)
