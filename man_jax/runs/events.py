"""Write events for TensorBoard in the calling thread, so that a full disk is an error at that place.

The writer of tensorboardX has a thread of its own. If that fails, it prints a traceback, the program goes on, and at
its end it waits for ever.
"""

import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data_pipelines.session.disk import WholeAppends


@contextmanager
def _hiding_torch() -> Iterator[None]:
    """Let an import of torch fail: tensorboardX imports it where it is installed, for seconds and without our need."""
    hidden = "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None  # pyright: ignore[reportArgumentType]
    try:
        yield
    finally:
        if hidden:
            del sys.modules["torch"]


with _hiding_torch():
    from tensorboardX.proto import event_pb2
    from tensorboardX.record_writer import masked_crc32c
    from tensorboardX.summary import scalar

_proto: Any = event_pb2  # its names are made when it is imported


class EventFile:
    """A new file of events in `folder`. TensorBoard hides the events of earlier files from `purge_step` on."""

    def __init__(self, folder: Path, *, purge_step: int | None = None):
        folder.mkdir(parents=True, exist_ok=True)
        # Two starts in one second must not share a file.
        name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}"
        self._file = WholeAppends(folder / name)
        first = [_proto.Event(wall_time=time.time(), file_version="brain.Event:2")]
        if purge_step is not None:
            start = _proto.SessionLog(status=_proto.SessionLog.START)
            first.append(_proto.Event(wall_time=time.time(), step=purge_step, session_log=start))
        self._append(first)

    def write(self, scalars: dict[str, float], *, step: int) -> None:
        """Write all scalars of a step; if the disk refuses, OSError is raised and none of them is written."""
        now = time.time()
        self._append(
            [
                _proto.Event(wall_time=now, step=step, summary=scalar(name, value))
                for name, value in scalars.items()
            ]
        )

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._file.close()

    def _append(self, events: list[Any]) -> None:
        self._file.append(b"".join(_record(event.SerializeToString()) for event in events))


def _record(data: bytes) -> bytes:
    """Make a TFRecord: the length, its checksum, the data, their checksum."""
    length = struct.pack("<Q", len(data))
    checksums = [struct.pack("<I", masked_crc32c(part)) for part in (length, data)]
    return length + checksums[0] + data + checksums[1]
