"""Let only one process at a time work in a folder."""

import contextlib
import errno
import fcntl
from collections.abc import Iterator
from pathlib import Path

from absl import logging

NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS)
"""The errors by which a file system says that it has no locks."""


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Let one process at a time into a folder, because all hosts of a run prepare data on a shared file system."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file is closed, even by a kill
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            logging.warning(
                "%s cannot be locked (%s); do not prepare the same set twice at once", folder, error
            )
        yield
