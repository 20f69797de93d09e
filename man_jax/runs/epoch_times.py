"""Keep how long the epochs of adaptation took, and how fast their steps were, in `times.jsonl`.

The times are no part of `metrics.jsonl`, which is the same to the byte for the same run.
"""

import json
import statistics
from collections.abc import Mapping
from pathlib import Path

import jax

from data_pipelines.session import disk

TIMES_FILE = "times.jsonl"
PARTS = ("label_seconds", "train_seconds", "test_seconds")
"""Of an epoch: features, clustering and memories; the steps; extraction and ranking of the test."""


def keep_times(workdir: Path, *, epoch: int, compiled: bool, figures: Mapping[str, float]) -> None:
    """Append the times and rates of an epoch; `compiled` marks one that compiled the step. Only process 0 writes."""
    if jax.process_index() != 0:
        return
    row = {"epoch": epoch, "compiled": compiled, **{name: round(value, 3) for name, value in figures.items()}}
    with disk.writing(workdir / TIMES_FILE):
        file = disk.WholeAppends(workdir / TIMES_FILE)
        file.append((json.dumps(row) + "\n").encode())
        file.close()


def usual_times(workdir: Path) -> dict[str, float]:
    """Give the median of each time, in seconds, over epochs without compilation; {} if the run kept none.

    A run of one epoch has only the one in which it compiled.
    """
    path = workdir / TIMES_FILE
    if not path.is_file():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if not row["compiled"]] or rows
    kept = {name: [row[name] for row in rows if name in row] for name in PARTS}
    return {name: statistics.median(values) for name, values in kept.items() if values}
