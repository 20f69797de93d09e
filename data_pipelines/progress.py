"""How far a loop is: a bar on a terminal, a line now and then in a log, nothing on the other processes."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, Generic, Protocol, TextIO, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
ItemOut = TypeVar("ItemOut", covariant=True)

LOG_INTERVAL = 15.0
"""Seconds between two lines when stderr is a file or a pipe; a shorter loop writes nothing there."""


class Progress(Protocol[ItemOut]):
    """A loop under observation: iterate over it, and hang figures of the moment on it."""

    def __iter__(self) -> Iterator[ItemOut]: ...

    def set_postfix(self, *, refresh: bool = ..., **values: Any) -> None:
        """Show `values` (say, the loss) behind the rate from the next update on."""
        ...


def track(
    iterable: Iterable[Item], *, total: int | None, description: str, unit: str, process_index: int = 0
) -> Progress[Item]:
    """Watch a loop on stderr: items done, rate, remaining time and the postfix.

    Args:
        iterable: what to loop over; yielded unchanged.
        total: its length in items; None if unknown, and then without a remaining time.
        description: what the loop does, e.g. "epoch 3/40".
        unit: what one item is, e.g. "step".
        process_index: every process but 0 is silent.
    """
    if process_index == 0 and not sys.stderr.isatty():
        return LoggedProgress(iterable, total=total, description=description, unit=unit)
    return tqdm(
        iterable,
        total=total,
        desc=description,
        unit=unit,
        leave=False,
        dynamic_ncols=True,
        disable=process_index != 0,
    )


class LoggedProgress(Generic[Item]):
    """A whole line every `interval` seconds: carriage returns would fill a log with bars."""

    def __init__(
        self,
        iterable: Iterable[Item],
        *,
        total: int | None,
        description: str,
        unit: str,
        interval: float = LOG_INTERVAL,
        file: TextIO | None = None,
    ):
        self._iterable = iterable
        self._total = total
        self._description = description
        self._unit = unit
        self._interval = interval
        self._file = file or sys.stderr
        self._postfix = ""

    def __iter__(self) -> Iterator[Item]:
        start = last = time.monotonic()
        for count, item in enumerate(self._iterable, start=1):
            yield item
            now = time.monotonic()
            if now - last >= self._interval:
                self._write_line(count, now - start)
                last = now

    def set_postfix(self, *, refresh: bool = True, **values: Any) -> None:
        """Show `values` at the end of the next line; `refresh` matters to bars only."""
        del refresh
        self._postfix = ", ".join(f"{name}={_short(value)}" for name, value in values.items())

    def _write_line(self, count: int, elapsed: float) -> None:
        meter = tqdm.format_meter(
            count,
            self._total or 0,  # 0 is tqdm's word for unknown here
            elapsed,
            prefix=self._description,
            unit=self._unit,
            postfix=self._postfix,
            ncols=0,  # figures without a bar
        )
        print(meter.strip(), file=self._file, flush=True)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
