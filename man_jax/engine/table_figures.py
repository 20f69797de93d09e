"""Measure a finished run for a table: figures with modalities missing at test, time and memory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from data_pipelines.reading.datasets import read
from data_pipelines.storing.builders import prepare_read
from data_pipelines.storing.images import ImageSettings
from data_pipelines.storing.prepared import PreparedDataset
from man_jax.config import Config
from man_jax.engine.evaluation import distances_by_subset, rank
from man_jax.engine.footprint import Size, step_footprint
from man_jax.engine.trained_network import open_trained
from man_jax.runs.epoch_times import usual_times
from man_jax.runs.past_config import run_config

Figures = dict[str, float]
MIB = 1024
"""MiB in a GiB."""


def figures_by_subset(
    config: Config, workdir: Path, subsets: Sequence[str], *, mesh: Mesh
) -> dict[str, Figures]:
    """Evaluate a finished run with some of its modalities at test, e.g. "RN"; a subset that it lacks is left out.

    A run without adaptation is evaluated by the weights that it started from.
    """
    unadapted = config.adapt.epochs == 0
    weights = Path(config.pretrain.init_from) if unadapted and config.pretrain.init_from else workdir
    trained = tuple(config.model.modalities)
    network = open_trained(weights, run_config(weights), pretrained=unadapted, present=trained, mesh=mesh)
    kept = [subset for subset in subsets if set(subset) <= set(trained)]
    data = _target(config)
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


def _target(config: Config) -> PreparedDataset:
    target: Any = config.data.target
    settings = ImageSettings(
        tuple(config.data.image_size), tuple(target.deep_range), config.data.train_filter
    )
    return prepare_read(
        read(target.name, target.root),
        config.data.prepared,
        settings,
        modalities=config.model.modalities,
        deep_range_option="--config.data.target.deep_range",
    )
