"""How fast a data set is prepared and loaded: python -m tests.data_pipelines.throughput [--triples 768].

Drawn JPEGs of 320×240 in WMVeID863's layout, prepared at 256×128; then batches of 64 by a P × K plan from each place
the images can be in, read by threads or by loader processes. Rates count from the second batch on, because the first
waits for processes to start; that wait is a column of its own.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import logging
from PIL import Image

from data_pipelines import builders, storage
from data_pipelines.loader import training_batches
from data_pipelines.prepared import PreparedDataset
from data_pipelines.readers import wmveid863
from data_pipelines.sampler import identity_plan

IMAGE_SIZE = (256, 128)
PER_IDENTITY, BATCH = 8, {"identities": 8, "instances": 8}
PLACES: tuple[storage.Place, ...] = ("memory", "mapped", "shards")


def write_tree(root: Path, num_triples: int) -> Path:
    """So many training triples and a few of the test, of smooth noise: of about the bytes of a photograph."""
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
    """The prepared set, and the table of what its two passes took."""
    dataset = wmveid863.read(root)
    num_triples = sum(map(len, dataset.splits.values()))
    start = time.monotonic()
    builders.verify_once(dataset, out, IMAGE_SIZE)
    verified = time.monotonic()
    prepared = builders.prepare(dataset, out, image_size=IMAGE_SIZE)
    lines = ["| pass | triples/s |", "|---|---:|"]
    for name, seconds in (("verified", verified - start), ("prepared", time.monotonic() - verified)):
        lines.append(f"| {name} | {num_triples / seconds:,.0f} |")
    return builders.load(prepared), "\n".join(lines)


def measure(data: PreparedDataset, place: storage.Place, workers: int, *, num_steps: int) -> str:
    """One line: the wait for the first batch, and triples a second from then on."""
    split = storage.store(data.train, place, workers=workers)
    plan = identity_plan(split.pids, num_steps=num_steps, seed=0, epoch=0, stream="measure", **BATCH)
    start = time.monotonic()
    batches = training_batches(split, plan, workers=workers)
    next(batches)
    first = time.monotonic()
    rows = sum(len(batch["index"]) for batch in batches)
    rate = rows / (time.monotonic() - first)
    return f"| {place} | {workers} | {first - start:.1f} | {rate:,.0f} |"


def main() -> None:
    """Flags → files → tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--triples", type=int, default=768)
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    logging.set_verbosity(logging.WARNING)  # TFDS tells of every shard
    with tempfile.TemporaryDirectory() as folder:
        root = write_tree(Path(folder) / "WMVeID863", arguments.triples)
        data, table = prepare(root, Path(folder) / "prepared")
        print(table, end="\n\n")
        print("| place | processes | first batch, s | triples/s |\n|---|---:|---:|---:|")
        for place in PLACES:
            for workers in (0, 1, 2):
                print(measure(data, place, workers, num_steps=arguments.steps), flush=True)


if __name__ == "__main__":
    main()
