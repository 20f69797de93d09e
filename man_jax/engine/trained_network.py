"""Open the trained network of a work directory, without its training data and its optimiser."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from jax.sharding import Mesh

from man_jax import methods
from man_jax.config import Config
from man_jax.engine.build import build_model, build_normalization
from man_jax.engine.extract import Extract, make_extract
from man_jax.frame import Network
from man_jax.networks.three_branch import Variables, only_branches
from man_jax.runs.checkpoint import CHECKPOINTS, PRETRAINED, read_network, read_pretrained
from man_jax.runs.weights_meaning import check_weights_of_run
from man_jax.sharding import put_replicated


class TrainedNetwork(NamedTuple):
    """A network that turns triples of some modalities into features."""

    extract: Extract
    variables: Variables
    description: str


def tested_network(config: Config) -> Network:
    """Tell where in the state of a run the network is that its method tests."""
    return methods.find(config.method).networks(config)[0]


def read_weights(workdir: Path, config: Config, *, pretrained: bool) -> tuple[Variables, str]:
    """Read the tested network's variables of the last checkpoint, or those before adaptation; say which they are.

    Raises ConfigError if the run left none, or if they belong to another configuration.
    """
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


def network_of(
    config: Config, variables: Variables, description: str, *, present: tuple[str, ...], mesh: Mesh
) -> TrainedNetwork:
    """Make the network of variables that are read, with the branches of the modalities in `present`."""
    kept = [place for place, name in enumerate(config.model.modalities) if name in present]
    # Features need no head, so its width does not matter.
    model = replace(build_model(config.model, num_classes=0), num_modalities=len(kept))
    return TrainedNetwork(
        make_extract(model, build_normalization(config), mesh),
        put_replicated(only_branches(variables, kept), mesh),
        description,
    )
