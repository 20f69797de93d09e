"""Report an error of the disk in one line: the place, the reason and the remedy."""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from data_pipelines.reading.records import DataError

REMEDIES: Mapping[int, str] = {
    errno.ENOSPC: "free space",
    errno.EDQUOT: "free some of your quota",
    errno.EFBIG: "raise the limit of a file's size (ulimit -f)",
    errno.EROFS: "make the disk writable, or choose another folder",
    errno.EACCES: "give yourself the right to write there, or choose another folder",
    errno.EPERM: "give yourself the right to write there, or choose another folder",
    errno.EIO: "look after the disk",
    errno.ESTALE: "mount its server again",
    errno.ENOENT: "the folder was moved or removed meanwhile; put it back",
    errno.ENOTDIR: "a file has the place of a folder; move it away",
    errno.EISDIR: "a folder has the place of a file; move it away",
    errno.EEXIST: "something else has its place; move it away",
    errno.ENAMETOOLONG: "choose a folder with a shorter name",
    errno.ELOOP: "a link leads back to itself; choose another folder",
}
"""Errors of the place that is written to, which the user can correct; any other error is a traceback."""

GOES_ON = "what was whole there stays so, and the same command goes on"


class DiskError(DataError):
    """A place that cannot be written to; the message names it, the reason and the remedy."""


def refusal(error: BaseException) -> int | None:
    """Find the error number if the disk caused the error; None otherwise."""
    if isinstance(error, OSError):
        return error.errno if error.errno in REMEDIES else None
    # Array_record and tensorstore tell the cause in words only.
    text = str(error)
    return next((number for number in REMEDIES if os.strerror(number) in text), None)


@contextmanager
def writing(place: Path, *, then: str = GOES_ON) -> Iterator[None]:
    """Turn errors of the disk in this context into a DiskError about `place`; `then` says what to do afterwards."""
    try:
        yield
    except DataError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        if (number := refusal(error)) is None:
            raise
        raise DiskError(
            f"{place}: cannot be written ({os.strerror(number)}); {REMEDIES[number]}; {then}"
        ) from error


def require_folder(folder: Path) -> None:
    """Check that the folder exists, for writers that would create it again; FileNotFoundError if not."""
    if not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))


class WholeAppends:
    """A file that grows by whole pieces: a piece that does not fit leaves nothing. The end of the process closes it."""

    def __init__(self, path: Path):
        self._path = path
        self._file = path.open("ab", buffering=0)

    def append(self, piece: bytes) -> None:
        """Write a piece to the disk; OSError if it does not fit, or if the file was moved or removed."""
        status, found = os.fstat(self._file.fileno()), self._path.stat()
        if not os.path.samestat(status, found):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._path))
        try:
            rest = memoryview(piece)
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())  # some servers refuse only now
        except OSError:
            with suppress(OSError):
                self._file.truncate(status.st_size)
            raise

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._file.close()


def replace_file(path: Path, content: bytes) -> None:
    """Write a file atomically: a reader sees the old one or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # the name must not move before the bytes are there
        partial.replace(path)
    except OSError:
        with suppress(OSError):
            partial.unlink()  # its bytes are room
        raise
