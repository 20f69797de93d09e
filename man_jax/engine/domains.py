"""The two data sets of a run, ready to train on."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int32

from data_pipelines.builders import prepare_dataset
from data_pipelines.prepared import PreparedDataset
from man_jax.config import Config


@dataclass(frozen=True, eq=False)
class Domain:
    """A prepared data set and the identities of its training triples, numbered 0 … C − 1 by sorted pid."""

    data: PreparedDataset
    identities: Int32[np.ndarray, " N"]

    @property
    def num_identities(self) -> int:
        """C."""
        return int(self.identities.max()) + 1


def open_domain(domain: Config, data: Config) -> Domain:
    """Read, verify and prepare (once) `config.data.source` or `.target`."""
    prepared = prepare_dataset(domain.name, domain.root, data.prepared, tuple(data.image_size))
    if data.in_memory:
        prepared = replace(prepared, train=prepared.train.in_memory())
    _, identities = np.unique(prepared.train.pids, return_inverse=True)
    return Domain(prepared, identities.astype(np.int32))
