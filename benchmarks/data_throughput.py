"""How fast a data set is prepared and loaded: python -m benchmarks.data_throughput [--triples 768].

Drawn JPEGs of 320×240 in WMVeID863's layout, prepared at 256×128; then batches of 64 by a P × K plan from each place
the images can be in, read by threads or by loader processes. A rate is that of `--seconds`, after an epoch which is
not measured; the median of `--rounds`, in each of which all ways take their turn. The wait for the first batch, in
which processes start, is a column of its own. With the usual flags it takes some four minutes.
"""

import argparse
import collections
import contextlib
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from absl import logging
from PIL import Image

from data_pipelines.loading import storage
from data_pipelines.loading.loader import training_batches
from data_pipelines.loading.sampler import identity_plan
from data_pipelines.reading.readers import wmveid863
from data_pipelines.storing import builders
from data_pipelines.storing.images import ImageSettings
from data_pipelines.storing.prepared import PreparedDataset, PreparedSplit

IMAGE_SIZE = (256, 128)
PER_IDENTITY, BATCH = 8, {"identities": 8, "instances": 8}
PLACES: tuple[storage.Place, ...] = ("memory", "mapped", "shards")
WORKERS = (0, 1, 2)
REPEATS = 5000
"""Epochs in a plan: more than are read in the seconds of a measurement."""


def write_tree(root: Path, num_triples: int) -> Path:
    """Draw so many training triples and a few of the test, of smooth noise: of about the bytes of a photograph."""
    rng = np.random.default_rng(0)
    for split, count in (("train", num_triples), ("query", 16), ("test", 16)):
        for i in range(count):
            for modality in ("vis", "ni", "th"):
                coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8))
                name = f"v{i % PER_IDENTITY}_n1_s001_{i:05d}.jpg"
                path = root / split / f"{i // PER_IDENTITY:04d}" / modality / name
                path.parent.mkdir(parents=True, exist_ok=True)
                coarse.resize((320, 240), Image.Resampling.BICUBIC).save(path, quality=90)
    return root


def prepare(root: Path, out: Path) -> tuple[PreparedDataset, str]:
    """Make the prepared set, and the table of what its two passes took."""
    dataset = wmveid863.read(root)
    num_triples = sum(map(len, dataset.splits.values()))
    start = time.monotonic()
    builders.verify_once(dataset, out, ImageSettings(IMAGE_SIZE))
    verified = time.monotonic()
    prepared = builders.prepare(dataset, out, image_size=IMAGE_SIZE)
    lines = ["| pass | triples/s |", "|---|---:|"]
    for name, seconds in (("verified", verified - start), ("prepared", time.monotonic() - verified)):
        lines.append(f"| {name} | {num_triples / seconds:,.0f} |")
    return builders.load(prepared), "\n".join(lines)


def measure(split: PreparedSplit, workers: int, *, seconds: float) -> tuple[float, float]:
    """Measure the seconds until the first batch, and triples a second during `seconds` after an epoch of warming up."""
    epoch = max(2, len(split) // (BATCH["identities"] * BATCH["instances"]))
    plan = identity_plan(split.pids, num_steps=epoch, seed=0, epoch=0, stream="measure", **BATCH)
    start = time.monotonic()
    with contextlib.closing(training_batches(split, np.tile(plan, (REPEATS, 1)), workers=workers)) as batches:
        next(batches)
        first = time.monotonic() - start
        for _ in range(epoch - 1):
            next(batches)
        begin = time.monotonic()
        rows = 0
        for batch in batches:
            rows += len(batch["index"])
            if time.monotonic() - begin >= seconds:
                break
        return first, rows / (time.monotonic() - begin)


def compare(data: PreparedDataset, *, seconds: float, rounds: int) -> Iterator[str]:
    """Write a line for each place and way to read: each round measures all, so that a busy minute meets them all."""
    splits = {place: storage.store(data.train, place) for place in PLACES}
    found = collections.defaultdict(list)
    for _, place, workers in itertools.product(range(rounds), PLACES, WORKERS):
        found[place, workers].append(measure(splits[place], workers, seconds=seconds))
    for (place, workers), measured in found.items():
        waits, rates = zip(*measured, strict=True)
        middle, extent = statistics.median(rates), f"{min(rates):,.0f} – {max(rates):,.0f}"
        yield f"| {place} | {workers} | {statistics.median(waits):.1f} | {middle:,.0f} | {extent} |"


def main() -> None:
    """Flags → files → tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--triples", type=int, default=768)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    logging.set_verbosity(logging.WARNING)  # TFDS tells of every shard
    with tempfile.TemporaryDirectory() as folder:
        root = write_tree(Path(folder) / "WMVeID863", arguments.triples)
        data, table = prepare(root, Path(folder) / "prepared")
        print(table, end="\n\n", flush=True)
        print("| place | processes | first batch, s | triples/s | least – most |\n|---|---:|---:|---:|---:|")
        for line in compare(data, seconds=arguments.seconds, rounds=arguments.rounds):
            print(line)


if __name__ == "__main__":
    main()
