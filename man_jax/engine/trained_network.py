"""Open the trained network of a work directory, without its training data and its optimiser."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from man_jax import methods
from man_jax.config import Config
from man_jax.engine.augment import Normalization
from man_jax.engine.build import build_model, build_normalization
from man_jax.engine.extract import Extract, make_extract
from man_jax.engine.run_weights import read_published
from man_jax.frame import Network
from man_jax.networks.three_branch import ThreeBranch, Variables, only_branches
from man_jax.runs.checkpoint import (
    CHECKPOINTS,
    PRETRAINED,
    read_network,
    read_network_at,
    read_pretrained,
    whole_checkpoints,
)
from man_jax.runs.hosts import check_same
from man_jax.runs.past_config import run_config
from man_jax.runs.published import has_published_weights
from man_jax.runs.weights_meaning import check_weights_of_run
from man_jax.sharding import put_replicated


class TrainedNetwork(NamedTuple):
    """A network that turns triples of some modalities into features."""

    extract: Extract
    variables: Variables
    description: str
    model: ThreeBranch
    normalization: Normalization


def tested_network(config: Config) -> Network:
    """Tell where in the state of a run the network is that its method tests."""
    return methods.find(config.method).networks(config)[0]


def read_weights(workdir: Path, config: Config, *, pretrained: bool) -> tuple[Variables, str]:
    """Read the tested network's variables of the last checkpoint, or those before adaptation; say which they are.

    `workdir` may be a folder of the hub, which holds the weights of one moment. Raises ConfigError if the run left
    none, or if they belong to another configuration.
    """
    if has_published_weights(workdir):
        return read_published(workdir, config, pretrained=pretrained)
    if pretrained:
        variables, description, folder = read_pretrained(workdir), "pre-trained", workdir / PRETRAINED
    else:
        step, _, variables = read_network(workdir, tested_network(config))
        description, folder = f"step {step}", workdir / CHECKPOINTS / str(step)
    check_weights_of_run(workdir, folder, config)
    return variables, description


def open_trained(
    workdir: Path, config: Config, *, pretrained: bool, present: tuple[str, ...], mesh: Mesh
) -> TrainedNetwork:
    """Open the network of a run, with the branches of the modalities in `present`.

    The weights are those of the last checkpoint, with the running statistics of the target. With `pretrained` they are
    those with which adaptation began. Raises ConfigError if the run left none, or if they belong to another
    configuration.
    """
    variables, description = read_weights(workdir, config, pretrained=pretrained)
    return network_of(config, variables, description, present=present, mesh=mesh)


def open_tested(workdir: Path, config: Config, *, mesh: Mesh) -> TrainedNetwork:
    """Open the network by which a finished run is judged, with all of its branches.

    A run without adaptation is judged by the weights that it began with, which may be another run's. Raises what
    `open_trained` does.
    """
    unadapted = config.adapt.epochs == 0
    weights = Path(config.pretrain.init_from) if unadapted and config.pretrain.init_from else workdir
    own = config if weights == workdir else run_config(weights)
    return open_trained(weights, own, pretrained=unadapted, present=tuple(config.model.modalities), mesh=mesh)


def network_of(
    config: Config, variables: Variables, description: str, *, present: tuple[str, ...], mesh: Mesh
) -> TrainedNetwork:
    """Make the network of variables that are read, with the branches of the modalities in `present`."""
    # Features need no head, so its width does not matter.
    model = replace(build_model(config.model, num_classes=0), num_modalities=len(present))
    normalization = build_normalization(config)
    return TrainedNetwork(
        make_extract(model, normalization, mesh),
        _branches_of(variables, config, present, mesh),
        description,
        model,
        normalization,
    )


def open_every_checkpoint(
    workdir: Path, config: Config, *, present: tuple[str, ...], mesh: Mesh
) -> Iterator[TrainedNetwork]:
    """Open the network of each kept checkpoint of a run, the oldest first, as `open_trained` does with the last one.

    All have one compiled function. All are checked now, and each is read when its turn comes. The log names damaged
    ones, which are left out. Raises ConfigError if none is whole, or if one belongs to another configuration.
    """
    steps = whole_checkpoints(workdir)
    for step in steps:
        check_weights_of_run(workdir, workdir / CHECKPOINTS / str(step), config)

    def networks() -> Iterator[TrainedNetwork]:
        network = None
        for step in steps:
            variables, told = read_network_at(workdir, step, tested_network(config)), f"step {step}"
            if network is None:
                network = network_of(config, variables, told, present=present, mesh=mesh)
            else:
                here = _branches_of(variables, config, present, mesh)
                network = network._replace(variables=here, description=told)
            yield network

    return networks()


def _branches_of(variables: Variables, config: Config, present: tuple[str, ...], mesh: Mesh) -> Variables:
    """Keep the branches of the modalities in `present`, on every device; all processes have to have the same."""
    kept = only_branches(
        variables, [place for place, name in enumerate(config.model.modalities) if name in present]
    )
    if jax.process_count() > 1:
        check_same({"the digest of the weights": variables_digest(kept)})
    return put_replicated(kept, mesh)


def variables_digest(variables: Variables) -> str:
    """Compute a digest of a network's variables, which tells whether features of two files can be compared."""
    digest = hashlib.blake2b(digest_size=16)
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()
