"""Answer a save that the disk refuses with one line, instead of the many errors of Orbax and its threads."""

import logging as standard_logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from absl import logging

from data_pipelines.session.disk import require_folder, writing

TELLERS = {"orbax", "asyncio"}
"""Packages whose logged errors are dropped, because the same errors are raised as well."""


@contextmanager
def saving(folder: Path, *, inside: Path) -> Iterator[None]:
    """Save in `folder` with Orbax; DiskError if the disk refuses, or if the folder `inside` has gone.

    A failed save never gets its final name, so it does not count as a checkpoint, and the next start removes it.
    """
    with writing(folder, then="the last whole checkpoint stays, and the same command goes on from it"):
        require_folder(inside)  # Orbax would create it again, and the run would go on in an empty folder
        with _quiet_failure():
            yield


@contextmanager
def _quiet_failure() -> Iterator[None]:
    """Keep the threads of a failed save from printing tracebacks, also afterwards, because they end later."""
    loggers = (logging.get_absl_logger(), standard_logging.getLogger("asyncio"))
    hook = sys.unraisablehook

    def unraisable(raised: "sys.UnraisableHookArgs") -> None:
        # Tensorstore finishes its writes for an event loop that ended with the error.
        if str(raised.exc_value) != "Event loop is closed":
            hook(raised)

    for logger in loggers:
        logger.addFilter(_is_not_told_by_an_exception)
    sys.unraisablehook = unraisable
    yield
    sys.unraisablehook = hook
    for logger in loggers:
        logger.removeFilter(_is_not_told_by_an_exception)


def _is_not_told_by_an_exception(record: standard_logging.LogRecord) -> bool:
    # These are asyncio's: several writes of one save fail, and Orbax waits only for the first.
    return record.levelno < standard_logging.ERROR or not TELLERS & set(Path(record.pathname).parts)
