"""Measure a finished run for a table: figures with modalities missing at test, time and memory."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from jax.sharding import Mesh

from man_jax.config import Config
from man_jax.engine.evaluation import distances_by_subset, rank
from man_jax.engine.footprint import Size, step_footprint
from man_jax.engine.run_data import prepare_side
from man_jax.engine.trained_network import open_tested
from man_jax.runs.epoch_times import usual_times

Figures = dict[str, float]
MIB = 1024
"""MiB in a GiB."""


def figures_by_subset(
    config: Config, workdir: Path, subsets: Sequence[str], *, mesh: Mesh
) -> dict[str, Figures]:
    """Evaluate a finished run with some of its modalities at test, e.g. "RN"; a subset that it lacks is left out."""
    trained = tuple(config.model.modalities)
    network = open_tested(workdir, config, mesh=mesh)
    kept = [subset for subset in subsets if set(subset) <= set(trained)]
    data = prepare_side(config, "target")
    distances = distances_by_subset(
        network.extract,
        network.variables,
        data,
        kept,
        present=trained,
        batch_size=config.evaluation.batch_size,
        mesh=mesh,
    )
    return {subset: rank(found, data).as_dict() for subset, found in distances.items()}


def costs(config: Config, workdir: Path, sizes: Mapping[str, Size]) -> Figures:
    """Give seconds of an epoch and of a test, and MiB of the adaptation step's program on one device.

    `sizes`: training triples and identities of source and target. A run without adaptation has no costs.
    """
    if config.adapt.epochs == 0:
        return {}
    times = usual_times(workdir)
    epoch = {"epoch": times["label_seconds"] + times["train_seconds"]} if times else {}
    test = {"test": times["test_seconds"]} if "test_seconds" in times else {}
    return epoch | test | {"memory": MIB * step_footprint(config, sizes)["in all, GiB"]}
