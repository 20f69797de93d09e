"""Pre-train on a labelled source, adapt to an unlabelled target.

    python -m man_jax.train --config configs/rgbnt100_to_wmveid863.py [--workdir DIR] [--config.man.alpha=0.5]

The same command again resumes an interrupted run. With `--distributed` it is started once on each host, all with the
same `--workdir` on a file system they share, and JAX_COORDINATOR_ADDRESS (host:port of process 0), JAX_NUM_PROCESSES
and JAX_PROCESS_ID in the environment.
"""

import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from absl import flags
from ml_collections import config_flags

from data_pipelines.session.command_line import define_path
from man_jax.commands import run_command
from man_jax.process_flags import define_distributed

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "The experiment: its NAME or file, also with :VARIANT, several variants joined by +."
)
COMPILE_ONLY = flags.DEFINE_bool(
    "compile_only", False, "Compile the adaptation step, print the memory it needs, and stop. Reads no data."
)
define_distributed("Train")
PROFILE = flags.DEFINE_string(
    "profile",
    "",
    "Steps to trace by JAX's profiler for TensorBoard and Perfetto, FIRST:END, counted from 0 through the run: 20:25.",
)
WORKDIR = define_path("workdir", None, "Where the run is kept; runs/<config.experiment> if not given.")


def main() -> None:
    """Read the flags, run the experiment, and print the table."""
    import jax

    from man_jax.engine.footprint import step_footprint
    from man_jax.engine.training_run import train_or_resume
    from man_jax.reporting.result_tables import results_table
    from man_jax.runs.step_trace import parse_steps

    config, traced = CONFIG.value, parse_steps(PROFILE.value)
    if COMPILE_ONLY.value:
        print("\n".join(f"{name:>32} {value:.6g}" for name, value in step_footprint(config).items()))
        return
    workdir = WORKDIR.value or Path("runs") / config.experiment
    summary = train_or_resume(config, workdir, traced=traced)
    if jax.process_index() == 0:
        rows = ("source_only", "start", "adapted", "best_on_test")
        print(results_table({name: summary[name] for name in rows if name in summary}))
        print(leftovers(workdir))


def leftovers(workdir: Path) -> str:
    """Say where the pictures and the figures of a run are, and how to look at TensorBoard's events."""
    events = shlex.quote(str(workdir / "tensorboard"))
    return f"""Everything the run left is in {workdir}:
  curves.png     losses, pseudo-labels and retrieval, epoch by epoch
  ranking.png    some queries, each with its nearest gallery triples
  metrics.jsonl  every figure of every epoch; summary.json has the last ones
  tensorboard/   the same figures, for:  pip install tensorboard && tensorboard --logdir {events}"""


class CallableCommand(ModuleType):
    """This module, which a program may have imported as `man_jax.train`, the name of the function it would call."""

    def __call__(self, *arguments: Any, **keywords: Any) -> dict[str, Any]:
        """Train as `man_jax.training.train` does."""
        from man_jax.training import train

        return train(*arguments, **keywords)


if __name__ == "__main__":
    run_command(main)
else:
    sys.modules[__name__].__class__ = CallableCommand
