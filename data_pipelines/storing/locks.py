"""Let only one process at a time work in a folder."""

import errno
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from absl import logging
from filelock import FileLock, Timeout

from data_pipelines.session.disk import require_folder

__all__ = ["LOCK", "Timeout", "exclusive", "locked"]

LOCK = ".lock"
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS)
"""The errors by which a file system says that it has no locks."""


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Let one process at a time into a folder, because all hosts of a run prepare data on a shared file system."""
    with locked(folder, wait=True, advice="do not prepare the same set twice at once"):
        yield


def locked(folder: Path, *, wait: bool, advice: str) -> AbstractContextManager[Any]:
    """Keep others out of a folder by a lock, until the returned context is left or the process ends, even by a kill.

    On a file system without locks the folder is not locked, and the log says so, with the advice.

    Raises:
        Timeout: another process, or another caller in this one, holds the lock, and `wait` is false.
        OSError: the folder does not exist, or the file of the lock cannot be written.
    """
    require_folder(folder)
    # A lock that is a mark in place of the system's own would stay after a kill.
    lock = FileLock(folder / LOCK, timeout=-1 if wait else 0, thread_local=False, fallback_to_soft=False)
    try:
        return lock.acquire()
    except NotImplementedError as error:  # how the library says that a system has no locks
        problem: Exception = error
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        problem = error
    logging.warning("%s cannot be locked (%s); %s", folder, problem, advice)
    return nullcontext()
