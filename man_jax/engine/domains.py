"""The two data sets of a run, ready to train on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from absl import logging
from jaxtyping import Int32

from data_pipelines.builders import prepare_dataset
from data_pipelines.datasets import FACTS
from data_pipelines.overlap import overlap_warnings
from data_pipelines.prepared import PreparedDataset
from data_pipelines.records import DataError
from data_pipelines.storage import store
from man_jax.config import Config


@dataclass(frozen=True, eq=False)
class Domain:
    """A prepared data set and the identities of its training triples, numbered 0 … C − 1 by sorted pid.

    A training triple without a label has the identity −1.
    """

    data: PreparedDataset
    identities: Int32[np.ndarray, " N"]

    @property
    def num_identities(self) -> int:
        """C."""
        return int(self.identities.max()) + 1


def open_domain(domain: Config, data: Config, *, modalities: Sequence[str]) -> Domain:
    """Read, verify and prepare (once) `config.data.source` or `.target`, of whose images `modalities` are loaded."""
    prepared = prepare_dataset(
        domain.name,
        domain.root,
        data.prepared,
        tuple(data.image_size),
        tuple(domain.deep_range),
        train_filter=data.train_filter,
        modalities=modalities,
    )
    prepared = replace(prepared, train=store(prepared.train, data.storage, workers=data.workers))
    return Domain(prepared, number_identities(prepared.train.pids))


def open_domains(config: Config) -> tuple[Domain, Domain]:
    """Source and target of a configuration, with labels where they are needed; warn of what both hold."""
    source, target = (
        open_domain(config.data[side], config.data, modalities=config.model.modalities)
        for side in ("source", "target")
    )
    require_labels(source, key="data.source", why="the source is what identities are learnt from")
    if config.adapt.labels == "truth":
        require_labels(target, key="data.target", why="config.adapt.labels is 'truth'")
    names = {source.data.name, target.data.name}
    same_numbering = len(names) == 1 and bool(FACTS[source.data.name].published)
    for warning in overlap_warnings(source.data, target.data, same_numbering=same_numbering):
        logging.warning("%s", warning)
    return source, target


def number_identities(pids: np.ndarray) -> Int32[np.ndarray, " N"]:
    """The place of each pid among the sorted pids; −1 for a triple without a label."""
    known = np.unique(pids[pids >= 0])
    return np.where(pids >= 0, np.searchsorted(known, pids), -1).astype(np.int32)


def require_labels(domain: Domain, *, key: str, why: str) -> None:
    """Raise DataError if a training triple of the domain `config.<key>` has no identity."""
    if num_missing := int(np.sum(domain.identities < 0)):
        raise DataError(
            f"config.{key}: {num_missing} of {len(domain.identities)} training triples of {domain.data.name} have "
            f"no identity, and {why}; label them, or leave them out"
        )
