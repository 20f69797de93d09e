"""Plan a training step for TPUs or GPUs that are not there: memory, traffic, and the least time of a step.

    python -m man_jax.plan --config rgbnt100_to_wmveid863 --topology v5e:2x4,v5e:4x4 --batches 32,64

For a TPU the step is compiled for these chips by `libtpu` (`pip install 'man_jax[tpu-plan]'`), so memory and
collectives are those of the program that would run; it takes minutes at full size. For a GPU (`--topology h100:8`) the
step is traced only, so scratch memory and traffic are unknown. `--triples 1000000 --clusters 50000` plans a target of
other sizes than the published ones, and `--state` says what its state takes on each chip, and compiles nothing. Times
are estimates from the peaks that the makers publish: no step is faster, and most are slower.
"""

from pathlib import Path
from typing import Any

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
TRIPLES = flags.DEFINE_integer("triples", 0, "Training triples of the target; those of the data set if 0.", 0)
CLUSTERS = flags.DEFINE_integer(
    "clusters", 0, "config.adapt.num_clusters; that of the configuration if 0.", 0
)
STATE = flags.DEFINE_bool("state", False, "Say only what the state takes on each chip; nothing is compiled.")
OUT = define_path("out", None, "A file in Markdown for the table, besides the screen.")


def main() -> None:
    """Read the flags, plan each topology with each batch, and print the table."""
    import os

    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # the chips that are planned for are not opened
    os.environ.pop("XLA_FLAGS", None)  # libtpu ends the process at a flag of another platform
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # it cannot be read again without the chips
    from man_jax.engine.state_plan import plan_state, planned_sizes, state_lines
    from man_jax.engine.step_plan import parse_topology, plan_lines, plan_step

    config = CONFIG.value
    if CLUSTERS.value:
        config.adapt.num_clusters = CLUSTERS.value
    sizes = planned_sizes(config, TRIPLES.value)
    topologies = [parse_topology(word) for word in TOPOLOGIES.value]
    if STATE.value:
        tables = [
            state_lines(plan_state(_divisible(config, each.num_chips), each, sizes)) for each in topologies
        ]
        tell("\n\n".join("\n".join(lines) for lines in tables), OUT.value)
        return
    batches = [parse_batch(word, config.batch.instances) for word in BATCHES.value]
    planned = []
    for topology in topologies:
        for identities in batches or [config.batch.identities]:
            one = config.copy_and_resolve_references()
            one.batch.identities = identities
            logging.info("planning %s with %d triples", topology.name, identities * one.batch.instances)
            planned.append(plan_step(one, topology, sizes))
    tell("\n".join(plan_lines(planned)), OUT.value)


def tell(text: str, path: str | Path | None) -> None:
    """Print a table, and write it to a file if one is named."""
    from man_jax.runs.metrics import replace_file

    if path:
        replace_file(Path(path), text + "\n")
    print(text)


def _divisible(config: Any, num_chips: int) -> Any:
    """Give a configuration the least batch that the chips divide, because the state does not depend on it."""
    changed = config.copy_and_resolve_references()
    changed.batch.identities = num_chips * -(-config.batch.identities // num_chips)
    return changed


def parse_batch(word: str, instances: int) -> int:
    """Read a value of --batches as a number of identities; ConfigError if it is no multiple of the triples of one."""
    if not word.strip().isdecimal() or not int(word) or int(word) % instances:
        raise ConfigError(
            f"--batches {word}: write multiples of {instances}, which config.batch.instances has of each identity"
        )
    return int(word) // instances


if __name__ == "__main__":
    run_command(main)
