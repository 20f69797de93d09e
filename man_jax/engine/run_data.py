"""Open the data that a trained run is used on: triples to take features of, or a data set to evaluate on."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import logging

from data_pipelines.checking.checks import check_queries
from data_pipelines.reading.datasets import read
from data_pipelines.reading.feature_places import find_layout, read_place
from data_pipelines.reading.records import DataError, Dataset
from data_pipelines.reading.roles import require_scores
from data_pipelines.session.command_line import expand_home
from data_pipelines.storing.builders import prepare_read
from data_pipelines.storing.images import ImageSettings, check_deep_range
from data_pipelines.storing.prepared import PreparedDataset
from data_pipelines.storing.unprepared import UnpreparedTriples, triples_of_dataset, triples_of_images
from man_jax.config import Config, ConfigError

Modalities = str | Sequence[str] | None
"""Letters of modalities, such as "RN" or ("R", "N"); None: all of the run that the data have."""


def open_triples(
    config: Config,
    triples: Any,
    modalities: Modalities = None,
    *,
    dataset: str | None = None,
    split: str | None = None,
    deep_range: tuple[int, int] | None = None,
    deep_range_option: str = "deep_range",
) -> UnpreparedTriples:
    """Find and check the triples whose features are wanted, and log the warnings; computes nothing.

    Args:
        config: that of the run.
        triples, modalities, dataset, split, deep_range: as in `TrainedRun.features`.
        deep_range_option: the name that `deep_range` has in advice to the user.

    Raises:
        DataError: there is no triple, or an image is missing or cannot be used.
        ConfigError: the run lacks a modality, or a split or a data set is named of triples that are in none.
    """
    of_run = tuple(config.model.modalities)
    wanted, settings = chosen_modalities(modalities, of_run), image_settings(config, deep_range)
    if isinstance(triples, str | os.PathLike):
        place = Path(expand_home(os.fspath(triples)))
        likely = config.data.target.name
        found, has_splits = read_place(
            place, wanted=wanted, known=of_run, name=dataset, split=split, likely=likely
        )
        opened = triples_of_dataset(
            found, settings, has_splits=has_splits, deep_range_option=deep_range_option
        )
    elif dataset is not None or split is not None:
        raise ConfigError("a data set and a split can be named of a folder or a table only")
    else:
        opened = triples_of_images(triples, settings, of_run=of_run, wanted=wanted)
    for warning in opened.warnings:
        logging.warning("%s", warning)
    if not len(opened):
        raise DataError("there is no triple to take features of")
    return opened


def prepare_test(
    config: Config,
    data: str | os.PathLike[str] | None,
    modalities: Modalities = None,
    *,
    dataset: str | None = None,
    deep_range: tuple[int, int] | None = None,
    deep_range_option: str = "deep_range",
) -> PreparedDataset:
    """Prepare a data set, once, to evaluate a run on its query and gallery; raises what `TrainedRun.evaluate` does."""
    of_run = tuple(config.model.modalities)
    wanted, settings = chosen_modalities(modalities, of_run), image_settings(config, deep_range)
    target = config.data.target
    if data is None:
        name, root = dataset or target.name, Path(target.root)
    else:
        root = Path(expand_home(os.fspath(data)))
        name = dataset or find_layout(root, likely=target.name)
    found = read(name, root)
    require_scores(found)
    check_queries(found)  # its warnings come when the set is prepared
    present = wanted or modalities_present(config, found)
    return prepare_read(
        found, config.data.prepared, settings, modalities=present, deep_range_option=deep_range_option
    )


def prepare_side(config: Config, side: str, dataset: Dataset | None = None) -> PreparedDataset:
    """Prepare the source or the target of a run, once, and open the modalities of its model.

    `dataset`: what was read of it; it is read if not given. Raises DataError if its folder is gone.
    """
    domain = config.data[side]
    return prepare_read(
        dataset or read(domain.name, domain.root),
        config.data.prepared,
        image_settings(config, tuple(domain.deep_range)),
        modalities=config.model.modalities,
        deep_range_option=f"--config.data.{side}.deep_range",
    )


def chosen_modalities(asked: Modalities, of_run: Sequence[str]) -> tuple[str, ...] | None:
    """Put the modalities that are asked for in the run's order; None if none are, ConfigError if the run lacks one."""
    if asked is None:
        return None
    if not len(asked) or any(list(asked).count(each) > 1 or each not in of_run for each in asked):
        raise ConfigError(
            f"modalities {asked!r}: write each once, of {', '.join(of_run)}, which are those of the run"
        )
    return tuple(each for each in of_run if each in asked)


def modalities_present(config: Config, dataset: Dataset) -> tuple[str, ...]:
    """Find the modalities that both the run and the data set have."""
    present = tuple(each for each in config.model.modalities if each in dataset.modalities)
    if not present:
        raise ConfigError(
            f"{dataset.name} in {dataset.root} has none of the modalities "
            f"{', '.join(config.model.modalities)} of the run"
        )
    return present


def image_settings(config: Config, deep_range: tuple[int, int] | None) -> ImageSettings:
    """Give the settings by which a run's images are resized; raw values are scaled from the target's range if None."""
    low, high = config.data.target.deep_range if deep_range is None else deep_range
    check_deep_range((low, high))
    # They include the filter of train, so that the set which training prepared is found.
    return ImageSettings(tuple(config.data.image_size), (low, high), config.data.train_filter)
