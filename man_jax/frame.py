"""What the engine and a method hand to each other: the state, batches, labels, classes.

A method reads and returns these; the engine knows of a method nothing else.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jaxtyping import Array, Bool, Float, Float32, Int, Int32, PRNGKeyArray, UInt8

from man_jax.config import Config
from man_jax.networks.three_branch import Outputs, ThreeBranch, Variables

DomainName = Literal["source", "target"]
Each = TypeVar("Each")
Terms = dict[str, Float[Array, ""]]


class ByDomain(NamedTuple, Generic[Each]):
    """One thing of each domain."""

    source: Each
    target: Each


class TrainState(struct.PyTreeNode):
    """Everything a step reads and writes. Its arrays are donated to the step, which returns new ones."""

    step: Int32[Array, ""]
    params: Any
    """What the optimiser moves: the network's parameters, or, after `start`, whatever a method has in their place."""
    statistics: Any
    """Running statistics of batch normalisation, `ByDomain`; equal until adaptation begins."""
    opt_state: optax.OptState
    key: PRNGKeyArray
    slots: Any = ()
    """The method's own: memories, teachers, masks. Empty until adaptation begins."""


class Network(NamedTuple):
    """Where in a state a network is: paths to its parameters, and to its running statistics of each domain."""

    params: tuple[str, ...] = ("params",)
    source: tuple[str, ...] = ("statistics", "source")
    target: tuple[str, ...] = ("statistics", "target")

    def variables(self, state: Any, domain: DomainName) -> Variables:
        """Take from a state, or from a saved tree of one, what the network is applied with to a domain's images."""
        return {"params": part(state, self.params), "batch_stats": part(state, getattr(self, domain))}


TRAINED = Network()
"""The network that the optimiser moves, where there is one only."""


def part(tree: Any, path: tuple[str, ...]) -> Any:
    """Follow names into a tree of dictionaries and of objects with fields."""
    for name in path:
        tree = tree[name] if isinstance(tree, Mapping) else getattr(tree, name)
    return tree


class Batch(struct.PyTreeNode):
    """Triples of one domain, with labels in the numbering of their domain: identities, or clusters."""

    images: Any
    """uint8 [B, M, H, W, 3]."""
    index: Any
    """int32 [B]: places of the triples among the domain's training triples."""
    camera: Any
    """int32 [B]: numbers of their cameras, 0 … cameras of the domain − 1."""
    labels: Any
    """int32 [B, L]: a column is one labelling; the batches are drawn by the first."""
    weight: Any
    """float32 [B]: how much a triple counts in what is learnt from labels; 0: its label is not to be learnt from."""
    present: Any
    """bool [B, M]: which of its images are there."""

    @property
    def label(self) -> Int32[Array, " B"]:
        """The first labelling."""
        return self.labels[:, 0]

    @property
    def reliable(self) -> Bool[Array, " B"]:
        """Whether the label is to be learnt from."""
        return self.weight > 0


class Labels(NamedTuple):
    """What an epoch takes the N training triples of a domain for."""

    labels: Int32[np.ndarray, "N L"]
    """−1: in no cluster; such a triple is not drawn."""
    weight: Float32[np.ndarray, " N"]
    num_clusters: int
    continued: bool = False
    """Whether the numbers mean what they meant in the epoch before, so that what was learnt of them holds."""
    clusterings: Mapping[str, Int32[np.ndarray, " N"]] = {}
    """By name, labellings whose accuracy is to be reported, such as those of each modality."""


class FeatureTable(NamedTuple):
    """Unit features of the N triples of a split, in its order."""

    modal: Float[np.ndarray, "M N D"]
    fused: Float[np.ndarray, "N F"]


class EpochFeatures(NamedTuple):
    """Features of the training triples at the start of an epoch, a table of each of the method's networks."""

    source: tuple[FeatureTable, ...] | None
    """None under the US protocol."""
    target: tuple[FeatureTable, ...]


class LabelSpace(NamedTuple):
    """The classes of both domains in one numbering: source identities first, then target clusters.

    There is room for `capacity` clusters. An epoch may have fewer: shapes stay, so nothing is compiled anew, and the
    mask `exists` keeps the others out of the softmax.
    """

    num_source: int
    capacity: int

    @property
    def num_classes(self) -> int:
        """All classes there is room for."""
        return self.num_source + self.capacity

    def of(self, domain: DomainName, labels: Int[Array, "..."]) -> Int[Array, "..."]:
        """Turn labels in the numbering of their domain into classes; −1 stays −1."""
        return jnp.where(labels < 0, labels, labels + (0 if domain == "source" else self.num_source))

    def exists(self, num_clusters: Int[Array, ""] | int) -> Bool[Array, " C"]:
        """Mark the classes of an epoch with so many clusters.

        Raises:
            ValueError: there are more than the capacity.
        """
        if isinstance(num_clusters, int) and num_clusters > self.capacity:
            raise ValueError(
                f"{num_clusters} clusters, but there is room for {self.capacity}; raise the capacity"
            )
        return jnp.arange(self.num_classes) < self.num_source + num_clusters


class Frame(NamedTuple):
    """What stays the same through a run, as a method sees it."""

    config: Config
    model: ThreeBranch
    space: LabelSpace
    num_triples: ByDomain[int]
    """Training triples."""
    view: Callable[[PRNGKeyArray, UInt8[Array, "B M H W 3"]], Float[Array, "B M H W 3"]]
    """Augments and normalises a batch of images; another key gives another view of the same triples."""


class Change(NamedTuple):
    """What a loss leaves besides its value."""

    statistics: Any
    slots: Any
    terms: Terms
    """For the log; the total is added by the step."""


def pass_domains(
    frame: Frame,
    params: Variables,
    statistics: ByDomain[Variables],
    images: ByDomain[Float[Array, "B M H W 3"] | None],
) -> tuple[ByDomain[Outputs | None], ByDomain[Variables]]:
    """Pass each domain's views through the network alone, so that each is normalised by its own batch statistics.

    With `config.adapt.statistics` "per_domain" each domain keeps a running average of its own; "shared" lets both move
    the same one, as code that is not aware of domains does. A domain that is None takes no part.
    """
    running: list[Variables] = list(statistics)
    outputs: list[Outputs | None] = [None, None]
    for place, view in enumerate(images):
        if view is None:
            continue
        variables = {"params": params, "batch_stats": running[place]}
        outputs[place], after = frame.model(variables, view, train=True)
        if frame.config.adapt.statistics == "shared":
            running = [after, after]
        else:
            running[place] = after
    return ByDomain(*outputs), ByDomain(*running)


def views(frame: Frame, key: PRNGKeyArray, source: Batch | None, target: Batch | None) -> ByDomain:
    """Draw a view of the batch of each domain that is there."""
    keys = jax.random.split(key, 2)
    drawn = [
        None if batch is None else frame.view(each, batch.images)
        for each, batch in zip(keys, (source, target), strict=True)
    ]
    return ByDomain(*drawn)
