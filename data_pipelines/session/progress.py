"""Show how far a loop is: by a bar on a terminal, by lines in a log, and only in process 0.

The first item never counts for the rate and the remaining time, because it may include a compilation.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from itertools import islice
from typing import Any, Generic, Protocol, TextIO, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
ItemOut = TypeVar("ItemOut", covariant=True)

LOG_INTERVAL = 15.0
"""Seconds between two lines if stderr is a file or a pipe; a shorter loop writes nothing."""


_subject: ContextVar[str] = ContextVar("subject", default="")


@contextmanager
def speaking_of(subject: str) -> Iterator[None]:
    """Put `subject`, e.g. "seed 1, no_cpa", before the text of every loop in this context."""
    token = _subject.set(subject)
    try:
        yield
    finally:
        _subject.reset(token)


def prefixed(text: str) -> str:
    """Put the subject of `speaking_of`, if there is one, before a text."""
    return f"{_subject.get()}: {text}" if _subject.get() else text


def between_bars() -> AbstractContextManager[Any]:
    """Remove the bars while a line is written, and draw them again afterwards."""
    return tqdm.external_write_mode(file=sys.stderr)


def time_left(seconds: float) -> str:
    """Describe a duration in words, e.g. "about 40 min left"."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute left"
    if minutes < 120:
        return f"about {minutes} min left"
    hours = minutes / 60
    return f"about {hours:.1f} h left" if hours < 10 else f"about {hours:.0f} h left"


class Progress(Protocol[ItemOut]):
    """A loop whose progress is shown: iterate over it, and give it current figures to show."""

    def __iter__(self) -> Iterator[ItemOut]: ...

    def set_postfix(self, *, refresh: bool = ..., **values: Any) -> None:
        """Show `values`, such as the loss, behind the rate from the next update on."""
        ...


def track(
    iterable: Iterable[Item], *, total: int | None, description: str, unit: str, process_index: int = 0
) -> Progress[Item]:
    """Show a loop's progress on stderr: items done, rate, remaining time and the postfix.

    Args:
        iterable: what to loop over; yielded unchanged.
        total: its length in items; None if unknown, and then without a remaining time.
        description: what the loop does, e.g. "epoch 3/40".
        unit: what one item is, e.g. "step".
        process_index: only process 0 writes.
    """
    description = prefixed(description)
    if process_index == 0 and not sys.stderr.isatty():
        return LoggedProgress(iterable, total=total, description=description, unit=unit)
    return BarProgress(
        iterable, total=total, desc=description, unit=unit, leave=False, disable=process_index != 0
    )


class BarProgress(Generic[Item]):
    """A bar that appears when the first item is done, and measures the time from then on."""

    def __init__(self, iterable: Iterable[Item], **options: Any):
        self._iterable = iterable
        self._options = options
        self._bar: tqdm | None = None

    def __iter__(self) -> Iterator[Item]:
        items = iter(self._iterable)
        yield from islice(items, 1)
        with tqdm(items, initial=1, dynamic_ncols=True, **self._options) as self._bar:
            yield from self._bar

    def set_postfix(self, *, refresh: bool = True, **values: Any) -> None:
        """Show `values` behind the rate, as soon as there is a bar."""
        if self._bar is not None:
            self._bar.set_postfix(refresh=refresh, **values)


class LoggedProgress(Generic[Item]):
    """A whole line every `interval` seconds, because redrawn bars would fill a log."""

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
        start = first = last = time.monotonic()
        for count, item in enumerate(self._iterable, start=1):
            yield item
            now = time.monotonic()
            if count == 1:
                first = last = now
            elif now - last >= self._interval:
                self._write_line(count, now - start, rate=(count - 1) / max(now - first, 1e-9))
                last = now

    def set_postfix(self, *, refresh: bool = True, **values: Any) -> None:
        """Show `values` at the end of the next line; `refresh` has a meaning for bars only."""
        del refresh
        self._postfix = ", ".join(f"{name}={_short(value)}" for name, value in values.items())

    def _write_line(self, count: int, elapsed: float, *, rate: float) -> None:
        meter = tqdm.format_meter(
            count,
            self._total or 0,  # 0 is tqdm's word for unknown here
            elapsed,
            rate=rate,
            prefix=self._description,
            unit=self._unit,
            postfix=self._postfix,
            ncols=0,  # figures without a bar
        )
        print(meter.strip(), file=self._file, flush=True)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
