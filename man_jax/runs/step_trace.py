"""Trace some steps of a run by JAX's profiler, for TensorBoard and for Perfetto (ui.perfetto.dev)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
from absl import logging

from man_jax.config import ConfigError

TRACE_FOLDER = "profile"
"""In the work directory."""


def parse_steps(words: str) -> range | None:
    """Read the value of --profile, e.g. 20:25 for the steps 20 to 24; "" is none.

    Raises:
        ConfigError: it is no such pair, or no step lies between its numbers.
    """
    if not words:
        return None
    first, colon, end = words.partition(":")
    if not (colon and first.isdecimal() and end.isdecimal() and int(first) < int(end)):
        raise ConfigError(
            f"--profile {words}: write the first step and the one after the last, e.g. --profile 20:25 for five steps; "
            f"steps count from 0 through the whole run"
        )
    return range(int(first), int(end))


class StepTrace:
    """Switches JAX's profiler on before the first of some steps, and off after the last one."""

    def __init__(self, steps: range, folder: Path):
        self.steps = steps
        self.folder = folder
        self.is_on = False
        self._done = False

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Run step `number` of the run in this context; a traced step has to wait for its own result."""
        if number in self.steps and not (self.is_on or self._done):
            options = jax.profiler.ProfileOptions()
            options.python_tracer_level = 0  # the calls of a compilation would be millions
            jax.profiler.start_trace(self.folder, create_perfetto_trace=True, profiler_options=options)
            self.is_on = True
        with jax.profiler.StepTraceAnnotation("step", step_num=number):
            yield
        if self.is_on and number + 1 >= self.steps.stop:
            self._end()

    def close(self) -> None:
        """End a trace whose last step did not come, and warn if no step was traced."""
        if self.is_on:
            self._end()
        if not self._done:
            logging.warning(
                "--profile %d:%d: no such step was run now, so nothing was traced",
                self.steps.start,
                self.steps.stop,
            )

    def _end(self) -> None:
        jax.profiler.stop_trace()
        self.is_on, self._done = False, True
        logging.info(
            "traced steps; see them by: tensorboard --logdir %s (pip install tensorboard xprof), or open "
            "perfetto_trace.json.gz below it at https://ui.perfetto.dev",
            self.folder,
        )
