"""Measure the memory of this process, and the most that a call takes (Linux only)."""

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

MIB = 2**20


def held() -> float:
    """Give the memory that this process has now, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / MIB


def peak() -> float:
    """Give the largest memory that this process has had, in MiB; not that of the one that started it."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def peak_above(call: Callable[[], Any]) -> float:
    """Run a call, and give the peak of this process's memory above what it held before, in MiB.

    The kernel forgets the earlier peak first.
    """
    before = held()
    Path("/proc/self/clear_refs").write_text("5")
    call()
    return peak() - before
