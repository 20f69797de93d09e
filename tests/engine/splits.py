"""Prepared splits that lie in memory: no files, no shards."""

import numpy as np

from data_pipelines.storing.prepared import PreparedDataset, PreparedSplit
from man_jax.engine.domain_data import Domain, numbered


def new_split(pids, *, image_size: tuple[int, int] = (4, 4), camids=None, seed: int = 0) -> PreparedSplit:
    """One triple of random bytes for each pid."""
    pids = np.asarray(pids, np.int64)
    rng = np.random.default_rng(seed)
    return PreparedSplit(
        pids=pids,
        camids=np.zeros_like(pids) if camids is None else np.asarray(camids, np.int64),
        scenes=np.zeros_like(pids),
        names=[f"triple {i}" for i in range(len(pids))],
        removal="camid",
        images=rng.integers(0, 256, (len(pids), 3, *image_size, 3), np.uint8),
    )


def new_dataset(train: PreparedSplit, query: PreparedSplit, gallery: PreparedSplit) -> PreparedDataset:
    height, width = train.images.shape[2:4]
    return PreparedDataset("drawn", "camid", ("R", "N", "T"), (height, width), train, query, gallery)


def new_domain(pids, *, image_size: tuple[int, int] = (4, 4)) -> Domain:
    """A domain whose three splits are one and the same."""
    split = new_split(pids, image_size=image_size)
    return Domain(new_dataset(split, split, split), numbered(split.pids), numbered(split.camids))
