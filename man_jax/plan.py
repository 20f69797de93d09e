"""Plan a training step for TPUs or GPUs that are not there: memory, traffic, and the least time of a step.

    python -m man_jax.plan --config rgbnt100_to_wmveid863 --topology v5e:2x4,v5e:4x4 --batches 32,64

For a TPU the step is compiled for these chips by `libtpu` (`pip install 'man_jax[tpu-plan]'`), so memory and
collectives are those of the program that would run; it takes minutes at full size. For a GPU (`--topology h100:8`) the
step is traced only, so scratch memory and traffic are unknown. Times are estimates from the peaks that the makers
publish: no step is faster, and most are slower.
"""

from pathlib import Path

from absl import flags, logging
from ml_collections import config_flags

from data_pipelines.session.command_line import define_path
from man_jax.commands import run_command
from man_jax.config import ConfigError

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "The experiment: its NAME or file, also with :VARIANT."
)
TOPOLOGIES = flags.DEFINE_list("topology", ["v5e:2x4"], "Chips, e.g. v5e:2x4, v4:2x2x2, v6e:2x4, h100:8.")
BATCHES = flags.DEFINE_list(
    "batches", [], "Triples of each domain on all chips together; that of the configuration if not given."
)
OUT = define_path("out", None, "A file in Markdown for the table, besides the screen.")


def main() -> None:
    """Read the flags, plan each topology with each batch, and print the table."""
    import os

    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # the chips that are planned for are not opened
    os.environ.pop("XLA_FLAGS", None)  # libtpu ends the process at a flag of another platform
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # it cannot be read again without the chips
    from man_jax.engine.step_plan import parse_topology, plan_lines, plan_step
    from man_jax.runs.metrics import replace_file

    config = CONFIG.value
    batches = [parse_batch(word, config.batch.instances) for word in BATCHES.value]
    planned = []
    for topology in [parse_topology(word) for word in TOPOLOGIES.value]:
        for identities in batches or [config.batch.identities]:
            one = config.copy_and_resolve_references()
            one.batch.identities = identities
            logging.info("planning %s with %d triples", topology.name, identities * one.batch.instances)
            planned.append(plan_step(one, topology))
    text = "\n".join(plan_lines(planned))
    if OUT.value:
        replace_file(Path(OUT.value), text + "\n")
    print(text)


def parse_batch(word: str, instances: int) -> int:
    """Read a value of --batches as a number of identities; ConfigError if it is no multiple of the triples of one."""
    if not word.strip().isdecimal() or not int(word) or int(word) % instances:
        raise ConfigError(
            f"--batches {word}: write multiples of {instances}, which config.batch.instances has of each identity"
        )
    return int(word) // instances


if __name__ == "__main__":
    run_command(main)
