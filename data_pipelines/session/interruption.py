"""A command that a signal stops: it ends at once, wherever it is, with one line that says what is kept.

Python runs a handler between two of its instructions, which XLA's compilation keeps from it for minutes. So a thread
waits for the signal, writes the line and ends the process. Nothing is tidied up: whatever a command writes is safe
against `kill -9`, because it gets its name only when it is whole.
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
"""Seconds that the line may take: its folder may be of a server that does not answer, its reader may not read."""

PAUSE = 0.2
"""Seconds in which a second signal is the same one: `timeout` sends it to the process and then to its group."""

STDERR = 2

_watched: list[signal.Signals] = []
_heard = threading.Event()
_descriptions: list[Callable[[], str]] = [lambda: "what is finished is kept, and the same command goes on"]


@contextmanager
def kept(describe: Callable[[], str]) -> Iterator[None]:
    """Say what `describe` returns if a signal ends the process within this context; it is asked in another thread."""
    _descriptions.append(describe)
    try:
        yield
    finally:
        _descriptions.remove(describe)


def watch_signals() -> None:
    """End the process with one line and status 128 + N at signal N; a second signal ends it without the line.

    A signal that is ignored stays so, as `nohup` wants it. Call it in the main thread.
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
    """Let the processes that this thread starts from now on end with the command, and without a word of their own.

    They do not hear Ctrl-C, which a terminal sends to them too and which they would answer with a traceback.
    """
    if signal.SIGINT not in _watched:
        return
    from multiprocessing import resource_tracker

    # It removes the shared memory of all when they are gone, and would tell of that.
    sys.warnoptions.append("ignore:resource_tracker:UserWarning")
    resource_tracker.ensure_running()
    sys.warnoptions.pop()
    # Afterwards: to start that process takes the mask away.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])


def _stand_still(number: int, write: int) -> None:
    """Keep the main thread from going on while the other one writes the line."""
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
            # What threads and children say of their sudden end helps nobody.
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
    """Kill the loader processes; not the one that removes their shared memory when all others are gone."""
    from multiprocessing import resource_tracker

    tracker: Any = resource_tracker._resource_tracker
    for child in _children():
        if child != tracker._pid:
            with suppress(OSError):
                os.kill(child, signal.SIGKILL)


def _children() -> list[int]:
    """The processes that this one started and that are there, those included that are about to begin."""
    tasks = list(Path("/proc/self/task").glob("*/children"))
    if tasks:
        return [int(word) for task in tasks for word in task.read_text().split()]
    from multiprocessing import active_children

    return [child.pid for child in active_children() if child.pid]
