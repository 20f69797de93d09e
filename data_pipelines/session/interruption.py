"""End a command at once when a signal stops it, with one line that says what is kept.

Python runs a signal's handler between two of its instructions, and a compilation of XLA can delay that for minutes. So
a thread waits for the signal, writes the line and ends the process. Nothing has to be cleaned up: the files of a
command are safe against `kill -9`, because a file gets its name only when it is whole.
"""

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

GRACE = 3.0
"""The most seconds for writing the line: a file server may not answer, or nobody may read the output."""

PAUSE = 0.2
"""Within so many seconds a second signal counts as the same one: `timeout` sends it to the process and to its group."""

STDERR = 2

_watched: list[signal.Signals] = []
_heard = threading.Event()
_descriptions: list[Callable[[], str]] = [lambda: "what is finished is kept, and the same command goes on"]


@contextmanager
def kept(describe: Callable[[], str]) -> Iterator[None]:
    """Write what `describe` returns if a signal ends the process in this context; another thread calls it."""
    _descriptions.append(describe)
    try:
        yield
    finally:
        _descriptions.remove(describe)


def watch_signals() -> None:
    """Watch for signals: signal N ends the process with one line and status 128 + N, a second one without the line.

    A signal that is ignored stays ignored, as `nohup` needs it. Call it in the main thread.
    """
    read, write = os.pipe()
    os.set_blocking(write, False)
    watched = [each for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
    for each in watched:
        signal.signal(each, lambda number, _: _stand_still(number, write))
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    _watched.extend(watched)
    threading.Thread(target=_watch, args=(read, watched), daemon=True, name="signals").start()


def shield_children() -> None:
    """Let the processes that this thread starts from now on end silently with the command.

    They ignore Ctrl-C, which a terminal sends to them too and which they would answer with a traceback.
    """
    if signal.SIGINT not in _watched:
        return
    from multiprocessing import resource_tracker

    # This process removes the shared memory of all others when they have ended, and would report that.
    sys.warnoptions.append("ignore:resource_tracker:UserWarning")
    resource_tracker.ensure_running()
    sys.warnoptions.pop()
    # Set afterwards, because starting that process removes the mask.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])


def _stand_still(number: int, write: int) -> None:
    """Stop the main thread while the other thread writes the line."""
    if not _heard.wait(PAUSE):
        os.write(write, bytes([number]))  # a library has taken the wakeup pipe away
    time.sleep(2 * GRACE)
    os._exit(128 + number)  # the other thread is gone: the interpreter was about to end


def _watch(read: int, watched: list[signal.Signals]) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, watched)
    while (number := os.read(read, 1)[0]) not in watched:
        pass
    _heard.set()
    threading.Thread(target=_tell_and_end, args=(number,), daemon=True).start()
    time.sleep(PAUSE)
    with suppress(BlockingIOError):
        os.set_blocking(read, False)
        os.read(read, 1024)
    select.select([read], [], [], GRACE)
    _end_children()
    os._exit(128 + number)


def _tell_and_end(number: int) -> None:
    try:
        line = f"interrupted by {signal.Signals(number).name}; {_what_is_kept()}\n"
        with suppress(OSError):
            start = "\n" if os.isatty(STDERR) else ""  # behind ^C and a bar
            os.write(STDERR, (start + line).encode(errors="backslashreplace"))
            # Messages of threads and children about their sudden end help nobody.
            os.dup2(os.open(os.devnull, os.O_WRONLY), STDERR)
        _end_children()
        with suppress(Exception):
            sys.stdout.flush()
    finally:
        os._exit(128 + number)


def _what_is_kept() -> str:
    with suppress(Exception):
        return _descriptions[-1]()
    return _descriptions[0]()


def _end_children() -> None:
    """Kill the loader processes, but not the one that removes their shared memory afterwards."""
    from multiprocessing import resource_tracker

    tracker: Any = resource_tracker._resource_tracker
    for child in _children():
        if child != tracker._pid:
            with suppress(OSError):
                os.kill(child, signal.SIGKILL)


def _children() -> list[int]:
    """List the processes that this one started and that still exist, also those that are just starting."""
    tasks = list(Path("/proc/self/task").glob("*/children"))
    if tasks:
        return [int(word) for task in tasks for word in task.read_text().split()]
    from multiprocessing import active_children

    return [child.pid for child in active_children() if child.pid]
