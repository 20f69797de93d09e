"""Load the batches of a plan with grain, as uint8 in the plan's order, ahead of their use in the background."""

import contextlib
import gc
from collections.abc import Callable, Iterator

import grain
import numpy as np
from absl import flags

from data_pipelines.session.interruption import shield_children
from data_pipelines.storing.prepared import PreparedSplit

Batch = dict[str, np.ndarray]

READ_THREADS = 2
READ_AHEAD = 4
"""How many batches are read ahead, in this process or in each worker. 64 triples of 256x128 are 19 MB."""


def training_batches(
    split: PreparedSplit, plan: np.ndarray, *, workers: int = 0, start: int = 0
) -> Iterator[Batch]:
    """Yield a batch for each row of `plan` [T, B]: images uint8 [B, M, H, W, 3] and index int32 [B].

    It begins with row `start` and does not read the rows before. `workers` is the number of processes; with 0, threads
    of this process read. It does not change the batches. A split in memory is copied to each worker, so 0 suits it
    best.
    """
    if not 0 <= start <= len(plan):
        raise ValueError(f"start {start} is outside the plan of {len(plan)} steps")
    rows = np.asarray(plan[start:], np.int32)

    def batch(step: int) -> Batch:
        return {"images": split.read(rows[step]), "index": rows[step]}

    return _read_ahead(len(rows), batch, workers)


def evaluation_batches(split: PreparedSplit, batch_size: int, *, workers: int = 0) -> Iterator[Batch]:
    """Yield every sample once, in order: images uint8 [B, M, H, W, 3], index int32 [B], valid bool [B].

    The last batch is filled up with copies of the last sample, for which `valid` is False, so that all batches have the
    same shape.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")

    def batch(step: int) -> Batch:
        wanted = np.arange(step * batch_size, (step + 1) * batch_size, dtype=np.int32)
        index = np.minimum(wanted, np.int32(len(split) - 1))
        return {"images": split.read(index), "index": index, "valid": wanted < len(split)}

    return _read_ahead(-(-len(split) // batch_size), batch, workers)


def _read_ahead(num_batches: int, batch: Callable[[int], Batch], workers: int) -> Iterator[Batch]:
    # One element is one whole batch, so workers take whole batches.
    dataset = (
        grain.MapDataset.source(range(num_batches))
        .map(batch)
        .to_iter_dataset(grain.ReadOptions(num_threads=READ_THREADS, prefetch_buffer_size=READ_AHEAD))
    )
    if workers:
        shield_children()
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()  # grain hands absl's flags to its workers; outside absl.app none are
        dataset = dataset.mp_prefetch(
            grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2)
        )
    try:
        with contextlib.closing(iter(dataset)) as batches:
            yield from batches
    finally:
        if workers:
            gc.collect()  # a cycle in grain's iterator keeps each worker's last batch in shared memory
