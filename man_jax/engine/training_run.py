"""Run a whole experiment, from its configuration to its summary."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from data_pipelines.session.interruption import kept
from man_jax.config import Config
from man_jax.engine.phases import adapt, pretrain
from man_jax.engine.report import report
from man_jax.engine.run_parts import RunParts, first_state, open_run
from man_jax.runs.checkpoint import has_checkpoint, last_saved
from man_jax.runs.metrics import SUMMARY_FILE


def has_begun(workdir: Path) -> bool:
    """Tell whether `workdir` has a checkpoint, from which a run would go on."""
    return has_checkpoint(workdir)


def is_finished(workdir: Path) -> bool:
    """Tell whether a run in `workdir` is finished, which means that it left its summary."""
    return (workdir / SUMMARY_FILE).is_file()


def train_or_resume(config: Config, workdir: Path, *, traced: range | None = None) -> dict[str, Any]:
    """Pre-train, adapt and report; return what `summary.json` holds. A call goes on where an earlier one stopped.

    JAX's profiler traces the steps `traced`, counted through the whole run.

    Raises:
        ConfigError, DataError, WorkdirError: before any training, if something does not fit.
        FloatingPointError: if training diverges.
        DiskError: whenever the disk refuses to write; what is saved already stays whole.
    """
    workdir = workdir.absolute()  # what is said of it names the whole path
    with kept(partial(describe_kept, workdir)):
        return _train(open_run(config, workdir, traced=traced))


def describe_kept(workdir: Path) -> str:
    """Describe what is kept of a run that is stopped now, and how to go on."""
    step = last_saved(workdir)
    if step is None:
        return (
            f"{workdir} has no checkpoint yet; the same command begins again, with the data that is prepared"
        )
    return f"the last checkpoint is of step {step} in {workdir}; the same command goes on"


def _train(parts: RunParts) -> dict[str, Any]:
    with parts.claim:
        state = first_state(parts)
        parts = replace(parts, backbone=None)  # what a file gave is in the state now
        state = pretrain(parts, state)
        state = adapt(parts, state)
        if parts.trace is not None:
            parts.trace.close()
        parts.writer.close()
        parts.checkpoints.close()
        return report(parts, state)
