"""How a command ends when the system ends it: by a signal, a reader that is gone, a disk that is full."""

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
    """Run a command in this context, from its first line on: it ends with one line, or none, and not a traceback.

    A signal is answered as `watch_signals` says. A command whose output nobody reads any more (`... | head`) ends
    without a word, with the status that a shell gives to SIGPIPE. What the disk refuses, and no place of the command
    has explained, is named.
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
    """Open what the caller has closed: the next file would get its number, and what libraries print would go there."""
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
    """What is left in a buffer goes there when the interpreter ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
