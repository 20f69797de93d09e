"""Plan a training step for TPUs or GPUs that are not there: memory, traffic, and the least time of a step.

    python -m man_jax.plan --config rgbnt100_to_wmveid863 --topology v5e:2x4,v5e:4x4 --batches 32,64
    python -m man_jax.plan --results plans.jsonl --picture scaling.png

The step is compiled for these chips, for TPUs by `libtpu` (`pip install 'man_jax[tpu-plan]'`), for GPUs (`h100:8`) by
JAX's plugin (`man_jax[gpu-plan]`), so memory and collectives are those of the program that would run; it takes minutes
at full size. Without the plugin a GPU's step is traced only, and scratch memory and traffic are unknown. Times are
estimates from the peaks that the makers publish: no step is faster, and most are slower.

`--triples 1000000 --clusters 50000` plans a target of other sizes than the published ones, and `--state` says what its
state takes on each chip, and compiles nothing. `--results` keeps each plan as a line of a file, and `--picture` draws
all plans of that file over the number of chips.
"""

from pathlib import Path
from typing import Any

from absl import flags, logging
from ml_collections import config_flags

from data_pipelines.session.command_line import define_path
from man_jax.commands import run_command
from man_jax.config import ConfigError
from man_jax.experiment_names import all_shown

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
RESULTS = define_path("results", None, "A file to which each plan is appended as a line of JSON.")
PICTURE = define_path("picture", None, "A picture of all plans of --results: weak and strong scaling.")


def main() -> None:
    """Read the flags, plan each topology with each batch, and print the table; or only draw earlier plans."""
    if PICTURE.value and not RESULTS.value:
        raise ConfigError("--picture is drawn of the plans of a file; name it by --results")
    if CONFIG.value is None and not PICTURE.value:
        raise ConfigError(f"--config is missing; name {all_shown()}")
    if CONFIG.value is not None:
        plan_all()
    if PICTURE.value:
        draw_plans()


def plan_all() -> None:
    """Plan each topology with each batch, keep the plans, and print the table."""
    import os

    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # the chips that are planned for are not opened
    os.environ.pop("XLA_FLAGS", None)  # libtpu ends the process at a flag of another platform
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # it cannot be read again without the chips
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # XLA would tell that there is no driver
    from man_jax.engine.plan_records import append_plan
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
            if RESULTS.value:
                append_plan(RESULTS.value, one, planned[-1])
    tell("\n".join(plan_lines(planned)), OUT.value)


def draw_plans() -> None:
    """Draw the plans of the file that --results names, those of the experiment that most of them are of."""
    from collections import Counter

    from data_pipelines.session import disk
    from man_jax.engine.plan_records import points, read_plans, scaling_of
    from man_jax.reporting.save_figure import save_figure
    from man_jax.reporting.scaling import draw_scaling

    kept = read_plans(RESULTS.value)
    about = Counter(each.about for each in kept).most_common(1)[0][0] if kept else ""
    plans = [each.plan for each in kept if each.about == about]
    weak, strong = map(points, scaling_of(plans))
    if not plans:
        raise ConfigError(
            f"--results {RESULTS.value} has no plan; make one, e.g. with --topology h100:1,h100:8"
        )
    figure = draw_scaling(weak, strong, title=f"{about}; times at the peaks that the makers publish")
    with disk.writing(PICTURE.value):
        save_figure(figure, PICTURE.value)
    print(f"{PICTURE.value}: {len(plans)} plans of {about}")


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
    run_command(main, needs_experiment=False)
