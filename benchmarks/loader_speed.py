"""How fast augmented batches come, beside PyTorch's DataLoader: python -m benchmarks.loader_speed.

Drawn JPEGs of 320x240 in WMVeID863's layout, prepared at 256x128; batches of 64 triples by a P x K plan. Ours reads
bytes ahead by threads, and flips, crops, normalises and erases the whole batch on the device, where a step would do it.
PyTorch's loader does the same in its processes, one a core, triple by triple: from the files, as other codes do, from
the shards that ours has prepared, and from the array of bytes in memory that ours reads. A turn is an epoch of so many
batches; the processes of PyTorch stay. Preparing is not in it: it is done once, and its time is told.
"""

import argparse
import contextlib
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import jax
import numpy as np
from absl import logging

from benchmarks import torch_loader
from benchmarks.data_throughput import BATCH, IMAGE_SIZE, prepare, write_tree
from benchmarks.turns import report, take_turns
from data_pipelines.loading import storage
from data_pipelines.loading.loader import training_batches
from data_pipelines.loading.sampler import identity_plan
from data_pipelines.reading.readers import wmveid863
from data_pipelines.storing.prepared import PreparedSplit
from man_jax.engine.augment import Augmentation, Normalization, augment
from man_jax.sharding import make_mesh, put_batch

SIZE = BATCH["identities"] * BATCH["instances"]


def read_ours(split: PreparedSplit, plan: Any, transform: Callable[..., Any], mesh: Any) -> None:
    """Read and augment the batches of the plan, and wait for the last."""
    view = None
    with contextlib.closing(training_batches(split, plan)) as batches:
        for step, batch in enumerate(batches):
            view = transform(jax.random.key(step), put_batch(batch["images"], mesh))
    jax.block_until_ready(view)


def read_all(loader: Any) -> None:
    """Read the batches of PyTorch's loader."""
    for _ in loader:
        pass


def main(flags: argparse.Namespace) -> None:
    """Write files, prepare them, and let all ways take turns."""
    logging.set_verbosity(logging.WARNING)  # TFDS tells of every shard
    mesh, workers = make_mesh(), flags.workers or len(os.sched_getaffinity(0))
    transform = jax.jit(partial(augment, augmentation=Augmentation(), normalization=Normalization()))
    with tempfile.TemporaryDirectory() as folder:
        root = write_tree(Path(folder) / "WMVeID863", flags.triples)
        start = time.perf_counter()
        data, _ = prepare(root, Path(folder) / "prepared")
        prepared = time.perf_counter() - start
        records = wmveid863.read(root).splits["train"]
        files = [[image.path for image in record.images] for record in records]
        if not np.array_equal(torch_loader.Files(files, IMAGE_SIZE)[0], data.train[0]):
            raise SystemExit("the first triple of the files is not the first of the shards")
        shards, memory = (storage.store(data.train, place) for place in ("shards", "memory"))
        draw: Any = {"seed": 0, "epoch": 0, "stream": "measure", **BATCH}
        plan = identity_plan(data.train.pids, num_steps=flags.batches, **draw)
        ways = {
            "ours": partial(read_ours, memory, plan, transform, mesh),
            "ours, from shards": partial(read_ours, shards, plan, transform, mesh),
        }
        places = {
            "from files": torch_loader.Files(files, IMAGE_SIZE),
            "from the shards": shards,
            "from memory": memory,
        }
        for place, triples in places.items():
            ways[f"PyTorch, {place}"] = partial(
                read_all, torch_loader.make_loader(triples, plan, workers=workers)
            )
        seconds = take_turns(ways, rounds=flags.rounds)
        rates = {name: round(flags.batches * SIZE / median(each)) for name, each in seconds.items()}
        subject = f"augmented batches, {SIZE} triples of {IMAGE_SIZE[0]}x{IMAGE_SIZE[1]}"
        report(
            subject,
            seconds,
            ours="ours",
            triples_per_second=rates,
            processes_of_pytorch=workers,
            seconds_to_prepare=prepared,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--triples", type=int, default=256, help="of the data set")
    parser.add_argument("--batches", type=int, default=12, help="of a turn")
    parser.add_argument("--workers", type=int, default=0, help="processes of PyTorch's loader; 0: one a core")
    parser.add_argument("--rounds", type=int, default=5)
    main(parser.parse_args())
