"""Write a line before and after the first call of a jitted function, which compiles it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
from absl import logging

from data_pipelines.session import compilation
from data_pipelines.session.progress import between_bars


@contextmanager
def compiling(function: Callable[..., Any], name: str) -> Iterator[Callable[[], float]]:
    """Tell of the first call of a jitted function, which compiles it; later calls are silent.

    Yields a function that returns how many seconds the call took if it compiled, and 0 otherwise.
    """
    if compilation.is_compiled(function):
        yield lambda: 0.0
    else:
        with compilation.compiling(name, say=say) as seconds:
            yield seconds


def say(line: str) -> None:
    """Write a line to the log of process 0, above the progress bars."""
    if jax.process_index() == 0:
        with between_bars():
            logging.info("%s", line)
