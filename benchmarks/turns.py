"""Time several ways of doing one thing in turn, and keep what was measured as a line of results.jsonl."""

import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

import jax

from man_jax.runs.versions import commit

RESULTS = Path(__file__).with_name("results.jsonl")
LIBRARIES = ("jax", "jaxlib", "numpy", "torch", "scikit-learn", "faiss-cpu")


class Ratio(NamedTuple):
    """How often one way fits into another, over the rounds."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def take_turns(
    ways: Mapping[str, Callable[[], Any]], *, rounds: int, warm: int = 1, in_a_row: int = 1
) -> dict[str, list[float]]:
    """Run all ways in each round, and give the seconds of each; the first `warm` rounds do not count.

    Whatever else the machine does meets all ways alike, if a round is short. A way has to wait for its own result. Of
    several runs `in_a_row` the first one does not count, and the mean of the others does, as of steps that follow one
    another: a virtual machine takes back memory that was free while others had their turn, and gives it again slowly.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(warm + rounds):
        for name, run in ways.items():
            each = [_seconds(run) for _ in range(in_a_row)]
            if number >= warm:
                seconds[name].append(mean(each[1:] or each))
    return seconds


def _seconds(run: Callable[[], Any]) -> float:
    """Time one run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def speed(ours: list[float], theirs: list[float]) -> Ratio:
    """Give our speed over theirs, round by round: above 1, ours is faster."""
    ratios = sorted(their / our for our, their in zip(ours, theirs, strict=True))
    return Ratio(median(ratios), ratios[0], ratios[-1])


def report(subject: str, seconds: Mapping[str, list[float]], *, ours: str, **facts: Any) -> None:
    """Print the medians and our speed over that of each other way, and append them to results.jsonl."""
    ratios = {name: speed(seconds[ours], their) for name, their in seconds.items() if name != ours}
    for name, each in seconds.items():
        beside = f"   ours over it: {ratios[name]}" if name in ratios else ""
        print(f"{subject}: {name:32} {median(each):10.4f} s{beside}", flush=True)
    for name, value in facts.items():
        print(
            f"{subject}: {name} {value:.4g}" if isinstance(value, float) else f"{subject}: {name} {value}",
            flush=True,
        )
    line = {
        "subject": subject,
        "seconds": {name: round(median(each), 6) for name, each in seconds.items()},
        "speed": {name: [round(value, 3) for value in ratio] for name, ratio in ratios.items()},
        **facts,
        "commit": commit(),
        "machine": machine(),
        "versions": dict(_installed()),
        "when": time.strftime("%Y-%m-%d"),
    }
    with RESULTS.open("a") as file:
        file.write(json.dumps(line) + "\n")


def machine() -> str:
    """Name what JAX computes on, and the processor."""
    device = jax.devices()[0]
    processor = next(
        (line.partition(":")[2].strip() for line in _cpu_lines() if line.startswith("model name")),
        platform.processor(),
    )
    own = f"{len(jax.devices())} {device.device_kind}, " if device.platform != "cpu" else ""
    return f"{own}{processor}, {len(os.sched_getaffinity(0))} cores"


def _cpu_lines() -> list[str]:
    file = Path("/proc/cpuinfo")
    return file.read_text().splitlines() if file.exists() else []


def _installed() -> list[tuple[str, str]]:
    found = []
    for name in LIBRARIES:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return found
