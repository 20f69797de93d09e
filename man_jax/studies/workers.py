"""Start further processes of a study's command, each with its share of the CPU's cores."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from man_jax.config import ConfigError

PROGRAM = (sys.executable, "-m", "man_jax.reproduce")


def take_share(workers: int) -> list[list[int]]:
    """Give this process the first of equal shares of its cores; return the shares of the others.

    Call it before JAX begins, whose threads keep the cores that they began with.

    Raises:
        ConfigError: there are fewer cores than workers.
    """
    if workers == 1:
        return []
    if not hasattr(os, "sched_setaffinity"):
        raise ConfigError(
            f"--workers {workers}: this system cannot divide its cores; start the same command in {workers} windows "
            f"instead, and they share the runs"
        )
    first, *others = shares(sorted(os.sched_getaffinity(0)), workers)
    os.sched_setaffinity(0, first)
    return others


def shares(cores: Sequence[int], workers: int) -> list[list[int]]:
    """Split cores among workers, as equally as it goes; ConfigError if a worker would have none."""
    if workers > len(cores):
        raise ConfigError(f"--workers {workers}: there are {len(cores)} cores; write at most so many workers")
    bounds = [worker * len(cores) // workers for worker in range(workers + 1)]
    return [[*cores[start:end]] for start, end in pairwise(bounds)]


def check_platform(workers: int) -> None:
    """Refuse to divide an accelerator; ConfigError tells how several of them share a study."""
    import jax

    if workers > 1 and jax.default_backend() != "cpu":
        raise ConfigError(
            f"--workers {workers} divides the cores of a CPU, and JAX has {jax.default_backend()} devices; start the "
            f"command without it once for each device, e.g. with CUDA_VISIBLE_DEVICES=0 and CUDA_VISIBLE_DEVICES=1, "
            f"and they share the runs"
        )


@contextmanager
def helped_by(others: Sequence[Sequence[int]], out: Path, words: Sequence[str]) -> Iterator[None]:
    """Run the command once for each share of cores, and end those processes when the context is left.

    Args:
        others: the cores of each further process.
        out: the folder of the study; the log of further process N is worker_N.log in it.
        words: the words of the command line, without the program's name.
    """
    mine = os.sched_getaffinity(0) if others else set()
    started: list[subprocess.Popen[bytes]] = []
    try:
        for number, cores in enumerate(others, start=1):
            out.mkdir(parents=True, exist_ok=True)
            os.sched_setaffinity(0, cores)  # a process begins with the cores of the thread that starts it
            with (out / f"worker_{number}.log").open("wb") as log:
                started.append(
                    subprocess.Popen(
                        [*PROGRAM, *words, "--workers=1"],
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,  # Ctrl-C reaches this process, which ends them
                    )
                )
        if others:
            os.sched_setaffinity(0, mine)
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()
