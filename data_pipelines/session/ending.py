"""End a command in order when the system ends it: by a signal, a closed pipe, or a full disk."""

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from data_pipelines.session.disk import REMEDIES, refusal
from data_pipelines.session.interruption import watch_signals

STDOUT, STDERR = 1, 2


@contextmanager
def orderly_end() -> Iterator[None]:
    """Run a command in this context from its first line on, so that it ends with at most one line and no traceback.

    A signal is handled as `watch_signals` says. If nobody reads the output any more (`... | head`), the command ends
    silently, with the status that a shell gives to SIGPIPE. An error of the disk that the command itself has not
    explained is named here.
    """
    _open_standard_streams()
    watch_signals()
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # or the interpreter does it, and tells of a failure in two lines
    except BrokenPipeError:
        if not _reader_is_gone():
            raise
        _write_nowhere(STDOUT)
        _write_nowhere(STDERR)
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        if (number := refusal(error)) is None:
            raise
        _write_nowhere(STDOUT)
        place = error.filename or "the output"
        sys.exit(
            f"error: {place}: {os.strerror(number)}; {REMEDIES[number]}, and start the same command again"
        )


def _open_standard_streams() -> None:
    """Open standard streams that the caller closed; otherwise the next file gets their number and libraries' output."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(number)
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def _reader_is_gone() -> bool:
    outputs = select.poll()
    outputs.register(STDOUT, 0)
    outputs.register(STDERR, 0)
    return any(event & select.POLLERR for _, event in outputs.poll(0))


def _write_nowhere(number: int) -> None:
    """Send to nowhere what is left in a buffer when the interpreter ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
