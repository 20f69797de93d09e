"""The state of training: arrays only, nothing that is not saved, nothing that is mutated."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Int32, PRNGKeyArray

from man_jax.memories.cross_batch import Memory, empty_memory
from man_jax.memories.prototypes import Bank, empty_bank
from man_jax.networks.three_branch import ThreeBranch, Variables

DomainName = Literal["source", "target"]


class Banks(NamedTuple):
    """Prototypes of both domains."""

    source: Bank
    target: Bank


class Statistics(NamedTuple):
    """Running statistics of batch normalisation, by domain; equal until adaptation begins."""

    source: Variables
    target: Variables


class TrainState(struct.PyTreeNode):
    """Everything a step reads and writes. Its arrays are donated to the step, which returns new ones."""

    step: Int32[Array, ""]
    params: Variables
    statistics: Statistics
    opt_state: optax.OptState
    banks: Banks
    memory: Memory
    key: PRNGKeyArray

    def variables(self, domain: DomainName) -> Variables:
        """What the network is applied with, to images of one domain."""
        return {"params": self.params, "batch_stats": getattr(self.statistics, domain)}


def create_state(
    model: ThreeBranch,
    optimizer: optax.GradientTransformation,
    *,
    key: PRNGKeyArray,
    image_size: tuple[int, int],
    num_source: int,
    num_target: int,
    memory_size: int,
) -> TrainState:
    """A new state at step 0, with `num_source` identities and `num_target` clusters in the banks."""
    init_key, step_key = jax.random.split(key)
    variables = model.init(init_key, image_size)
    sizes = {"num_modalities": model.num_modalities, "dim": model.dim}
    return TrainState(
        step=jnp.int32(0),
        params=variables["params"],
        statistics=Statistics(variables["batch_stats"], variables["batch_stats"]),
        opt_state=optimizer.init(variables["params"]),
        banks=Banks(empty_bank(num_classes=num_source, **sizes), empty_bank(num_classes=num_target, **sizes)),
        memory=empty_memory(capacity=memory_size, dim=model.num_modalities * model.dim),
        key=step_key,
    )


def restart_optimizer(state: TrainState, optimizer: optax.GradientTransformation) -> TrainState:
    """The same state with the optimiser's moments at zero: a new phase begins."""
    return state.replace(opt_state=optimizer.init(state.params))
