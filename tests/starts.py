"""Start a command many times, each time with something that happens to it at a chosen moment: python -m tests.starts.

One process imports the libraries and forks for each start. It reads a line of JSON for each, {"module", "arguments",
"moment"}, and answers with a line {"status", "output"} when no process of the command is left.
"""

import functools
import importlib
import json
import os
import resource
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
SLOW = ("man_jax.engine.training_run", "man_jax.engine.footprint", "man_jax.studies.planned_runs", "grain")


LONGEST = 300
"""Seconds that a command may take; then this process ends."""


class Moment(NamedTuple):
    """The n-th call of a function or method, "package.module:Class.method": what happens as it begins.

    `event` is the name of a signal, or the bytes beyond which no file can grow from then on.
    """

    place: str
    call: int
    event: str | int


class End(NamedTuple):
    """The exit status of a command, and what it wrote on stdout and stderr."""

    status: int
    output: str


class Starts:
    """The process that starts the command; a context."""

    def __init__(self, **environment: str):
        self._environment = os.environ | environment

    def __enter__(self) -> "Starts":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.starts"],
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def start(self, module: str, *arguments: str, moment: Moment | None = None) -> End:
        """Run `python -m module` until no process of it is left."""
        order = {"module": module, "arguments": arguments, "moment": moment}
        assert self._process.stdin and self._process.stdout  # noqa: PT018
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return End(**json.loads(self._process.stdout.readline()))

    def start_together(
        self, module: str, starts: Sequence[tuple[Sequence[str], dict[str, str]]]
    ) -> list[End]:
        """Run `python -m module` with each (arguments, environment), all at once, until no process of it is left."""
        order = {"module": module, "starts": starts}
        assert self._process.stdin and self._process.stdout  # noqa: PT018
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return [End(**each) for each in json.loads(self._process.stdout.readline())]


def main() -> None:
    """Serve until the input ends; in a fork, become the command."""
    for name in SLOW:
        importlib.import_module(name)
    for line in sys.stdin:
        order = json.loads(line)
        signal.alarm(LONGEST)
        if "starts" in order:
            if (ends := become_each(**order)) is None:
                return None
            print(json.dumps(ends), flush=True)
            continue
        read, write = os.pipe()
        if (child := os.fork()) == 0:
            signal.alarm(0)
            return become(**order, output=write)
        os.close(write)
        with open(read, encoding="utf-8") as pipe:  # noqa: PTH123
            output = pipe.read()
        _, status = os.waitpid(child, 0)
        await_end(child)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status), "output": output}), flush=True)
    return None


def become_each(module: str, starts: list[tuple[list[str], dict[str, str]]]) -> list[dict[str, Any]] | None:
    """Fork for each start, and give how each process ended and what it wrote; None in a fork that has ended."""
    children, files = [], []
    for arguments, environment in starts:
        file = tempfile.TemporaryFile()  # noqa: SIM115  a pipe might be full before it is read
        if (child := os.fork()) == 0:
            signal.alarm(0)
            os.environ.update(environment)
            return become(module, arguments, None, os.dup(file.fileno()))
        children.append(child)
        files.append(file)
    ends = []
    for child, file in zip(children, files, strict=True):
        _, status = os.waitpid(child, 0)
        await_end(child)
        file.seek(0)
        ends.append({"status": os.waitstatus_to_exitcode(status), "output": file.read().decode()})
        file.close()
    return ends


def await_end(group: int) -> None:
    """Return when no process of the group is left; TimeoutError if one stays."""
    for _ in range(200):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise TimeoutError(f"processes of group {group} are left")


def become(module: str, arguments: list[str], moment: list[Any] | None, output: int) -> None:
    """Run the command as `python -m` does in a terminal: in a process group of its own, no signal ignored."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for number in (1, 2):
        os.dup2(output, number)
    os.close(output)
    # Streams of their own: those of the server remember what they were opened on.
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    if moment:
        await_moment(*moment)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def await_moment(place: str, call: int, event: str | int) -> None:
    """Let the event happen as the n-th call of a function begins."""
    module, _, path = place.partition(":")
    owner: Any = importlib.import_module(module)
    *classes, name = path.split(".")
    for each in classes:
        owner = getattr(owner, each)
    function, count = getattr(owner, name), 0

    @functools.wraps(function)
    def counted(*arguments: Any, **keywords: Any) -> Any:
        nonlocal count
        count += 1
        if count == call:
            happen(event)
        return function(*arguments, **keywords)

    setattr(owner, name, counted)


def happen(event: str | int) -> None:
    """Send the signal, or limit the size of files."""
    if isinstance(event, str):
        os.kill(os.getpid(), signal.Signals[event])
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (event, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
