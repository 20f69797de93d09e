"""Small files of features, drawn or written out, for tests of searching."""

import numpy as np

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
