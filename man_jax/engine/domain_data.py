"""The two data sets of a run, ready to train on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from absl import logging
from jaxtyping import Int32

from data_pipelines.checking.overlap import overlap_warnings
from data_pipelines.loading.storage import store
from data_pipelines.reading.datasets import FACTS, check_queries, read
from data_pipelines.reading.records import DataError, Dataset
from data_pipelines.reading.roles import require_scores, require_training
from data_pipelines.storing.prepared import PreparedDataset, check_modalities
from man_jax import methods
from man_jax.config import Config
from man_jax.engine.run_data import prepare_side


@dataclass(frozen=True, eq=False)
class Domain:
    """A prepared data set and the identities of its training triples, numbered 0 … C − 1 by sorted pid.

    A training triple without a label has the identity −1.
    """

    data: PreparedDataset
    identities: Int32[np.ndarray, " N"]
    cameras: Int32[np.ndarray, " N"]
    """The camera of each training triple, numbered from 0 by sorted camid."""

    @property
    def num_identities(self) -> int:
        """The number of identities, C."""
        return int(self.identities.max(initial=-1)) + 1


def open_domain(config: Config, side: str, dataset: Dataset) -> Domain:
    """Prepare the data set of `config.data.<side>`, if it is not prepared yet, and open the modalities of the model."""
    data, prepared = config.data, prepare_side(config, side, dataset)
    prepared = replace(prepared, train=store(prepared.train, data.storage, workers=data.workers))
    return Domain(prepared, *(numbered(each) for each in (prepared.train.pids, prepared.train.camids)))


def open_domains(config: Config) -> tuple[Domain, Domain]:
    """Open source and target of a configuration, and warn of images that both contain.

    Raises DataError if one of them lacks what training needs, before any of them is verified or prepared.
    """
    datasets = {side: read(config.data[side].name, config.data[side].root) for side in ("source", "target")}
    check_domains(config, **datasets)
    if config.adapt.labels == "truth":
        with _said_of("config.data.target"):
            require_training(datasets["target"], labels_because="config.adapt.labels is 'truth'")
    source, target = (open_domain(config, side, dataset) for side, dataset in datasets.items())
    names = {source.data.name, target.data.name}
    same_numbering = len(names) == 1 and bool(FACTS[source.data.name].published)
    for warning in overlap_warnings(source.data, target.data, same_numbering=same_numbering):
        logging.warning("%s", warning)
    return source, target


def numbered(names: np.ndarray) -> Int32[np.ndarray, " N"]:
    """Number pids or camids from 0 in sorted order; a triple that has none gets −1."""
    known = np.unique(names[names >= 0])
    return np.where(names >= 0, np.searchsorted(known, names), -1).astype(np.int32)


def check_domains(config: Config, source: Dataset, target: Dataset) -> None:
    """Check that both data sets have what training needs, and raise DataError otherwise.

    The source needs training triples with labels, but no query and no gallery. The target needs training triples, a
    query and a gallery, and several cameras if the method needs them. Both need the modalities that are trained on.
    """
    for dataset in (source, target):
        place = f"{dataset.name} in {dataset.root}"
        check_modalities(place, dataset.modalities, config.model.modalities)
    with _said_of("config.data.source"):
        require_training(source, labels_because="the source is what identities are learnt from")
    with _said_of("config.data.target"):
        require_training(target)
    with _said_of("config.data.target, which training scores"):
        require_scores(target)
        check_queries(target)  # its warnings come when the target is prepared
    if config.adapt.epochs and "cameras" in methods.needs_of(config.method):
        _require_cameras(config.method, target)


def _require_cameras(method: str, target: Dataset) -> None:
    """Check that the target's training triples are of several cameras; DataError otherwise."""
    cameras = {record.camid for record in target.splits["train"]}
    if len(cameras) < 2:
        raise DataError(
            f"config.data.target: all training triples of {target.name} in {target.root} have camid "
            f"{cameras.pop()}, and the method {method} compares cameras; give each triple the number of its camera "
            f"(docs/DATASETS.md), or choose a method that compares none"
        )


@contextmanager
def _said_of(key: str) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise DataError(f"{key}: {error}") from error
