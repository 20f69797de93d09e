"""The types that the engine and a method exchange: the state, batches, labels, classes.

A method reads and returns these types. The engine knows nothing else about a method.
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
from man_jax.layout import WHOLE, Layout
from man_jax.networks.part_necks import norm_parts
from man_jax.networks.three_branch import Features, Outputs, ThreeBranch, Variables
from man_jax.randomness import epoch_key
from man_jax.sharding import make_mesh

DomainName = Literal["source", "target"]
Each = TypeVar("Each")
Terms = dict[str, Float[Array, ""]]


class ByDomain(NamedTuple, Generic[Each]):
    """A pair of things, one for each domain."""

    source: Each
    target: Each


class TrainState(struct.PyTreeNode):
    """All that a training step reads and writes. Its arrays are donated to the step, which returns new ones."""

    step: Int32[Array, ""]
    params: Any
    """What the optimiser updates: the network's parameters, or, after `start`, what a method puts in their place."""
    statistics: Any
    """Running statistics of batch normalisation, by domain. Until adaptation begins, both are equal."""
    opt_state: optax.OptState
    key: PRNGKeyArray
    slots: Any = ()
    """The arrays of the method, such as memories, teachers and masks. Empty until adaptation begins."""


class Network(NamedTuple):
    """The place of a network in a state: paths to its parameters and to its running statistics of each domain."""

    params: tuple[str, ...] = ("params",)
    source: tuple[str, ...] = ("statistics", "source")
    target: tuple[str, ...] = ("statistics", "target")
    num_parts: int = 0
    """How many part features, of horizontal stripes, the tables of this network have; 0: none."""

    def variables(self, state: Any, domain: DomainName) -> Variables:
        """Take the network's variables for the images of a domain from a state, or from the saved tree of a state."""
        return {"params": part(state, self.params), "batch_stats": part(state, getattr(self, domain))}


TRAINED = Network()
"""The network that the optimiser updates, in methods that have only one."""


def part(tree: Any, path: tuple[str, ...]) -> Any:
    """Take the part at a path of names out of a tree of dictionaries and of objects with fields."""
    for name in path:
        tree = tree[name] if isinstance(tree, Mapping) else getattr(tree, name)
    return tree


class Batch(struct.PyTreeNode):
    """Triples of one domain. Their labels have the numbering of the domain: identities of the source, or clusters."""

    images: Any
    """uint8 [B, M, H, W, 3]."""
    index: Any
    """int32 [B]: the place of each triple among the domain's training triples."""
    camera: Any
    """int32 [B]: the camera of each triple, numbered from 0 within the domain."""
    labels: Any
    """int32 [B, L]: each column is one labelling; the first one is of the clusters."""
    weight: Any
    """float32 [B]: how much a triple counts in losses that use labels. 0: its label is not used."""
    present: Any
    """bool [B, M]: which images of the triple are present."""

    @property
    def label(self) -> Int32[Array, " B"]:
        """The first column of the labels."""
        return self.labels[:, 0]

    @property
    def reliable(self) -> Bool[Array, " B"]:
        """Whether the label is used, which means that its weight is above 0."""
        return self.weight > 0


class Labels(NamedTuple):
    """The labels of a domain's N training triples in an epoch."""

    labels: Int32[np.ndarray, "N L"]
    """−1: the triple is in no cluster and is not drawn."""
    weight: Float32[np.ndarray, " N"]
    num_clusters: int
    continued: bool | Bool[np.ndarray, " K"] = False
    """Whether a number has the same meaning as in the epoch before, so that heads and memories stay valid: one answer
    for all, or one for each cluster that there is room for."""
    clusterings: Mapping[str, Int32[np.ndarray, " N"]] = {}
    """Labellings whose accuracy is reported, by name, for example one for each modality."""
    estimated: bool = False
    """Whether the number of clusters was found in the features, so that it is reported beside that of identities."""
    drawn_by: int = 0
    """The column by which batches are drawn. The first column is of the clusters, and another one may be finer."""
    groups: Int32[np.ndarray, " N"] | None = None
    """All triples of a batch are of one group, for example of one camera; all triples of a label are. None: of any."""


class FeatureTable(NamedTuple):
    """Unit features of the N triples of a split, in its order."""

    modal: Float[np.ndarray, "M N D"]
    """Unit(f_m), after the neck."""
    fused: Float[np.ndarray, "N F"]
    """Unit(Cat(Unit(f_R), Unit(f_N), Unit(f_T)))."""
    pooled: Float[np.ndarray, "M N D"]
    """Unit(g_m), before the neck."""
    parts: Float[np.ndarray, "P M N D"] | None = None
    """Means of the last maps over horizontal stripes, from the top down, of any length and before any neck. None where
    the network asks for no parts."""


class EpochFeatures(NamedTuple):
    """Features of the training triples at the start of an epoch: one table for each of the method's networks."""

    source: tuple[FeatureTable, ...] | None
    """None under the US protocol."""
    target: tuple[FeatureTable, ...]


class LabelSpace(NamedTuple):
    """The classes of both domains in one numbering: source identities first, then target clusters.

    There is room for `capacity` clusters, and an epoch may have fewer. The shapes of all arrays stay the same, so
    nothing is compiled again. The mask `exists` keeps unused classes out of the softmax.
    """

    num_source: int
    capacity: int

    @property
    def num_classes(self) -> int:
        """The number of classes that there is room for."""
        return self.num_source + self.capacity

    def of(self, domain: DomainName, labels: Int[Array, "..."]) -> Int[Array, "..."]:
        """Turn labels in the numbering of a domain into classes; −1 stays −1."""
        return jnp.where(labels < 0, labels, labels + (0 if domain == "source" else self.num_source))

    def exists(self, num_clusters: Int[Array, ""] | int) -> Bool[Array, " C"]:
        """Mark the classes that exist in an epoch with `num_clusters` clusters.

        Raises:
            ValueError: there are more than the capacity.
        """
        if isinstance(num_clusters, int) and num_clusters > self.capacity:
            raise ValueError(
                f"{num_clusters} clusters, but there is room for {self.capacity}; raise the capacity"
            )
        return jnp.arange(self.num_classes) < self.num_source + num_clusters


class Frame(NamedTuple):
    """The parts of a run that a method uses and that stay the same through the run."""

    config: Config
    model: ThreeBranch
    space: LabelSpace
    num_triples: ByDomain[int]
    """The number of training triples of each domain."""
    view: Callable[[PRNGKeyArray, UInt8[Array, "B M H W 3"]], Float[Array, "B M H W 3"]]
    """Augments and normalises a batch of images. Another key gives another view of the same triples."""
    cameras: ByDomain[Int32[np.ndarray, " N"]]
    """The camera of each training triple, numbered from 0 within the domain."""
    layout: Layout = WHOLE
    """How the large arrays of a method lie on the devices, for one that can divide them."""


class WithParts(NamedTuple):
    """The outputs of a network for a batch, and the features of its parts."""

    whole: Outputs
    parts: tuple[Features, ...]
    """The features of each part, before and after its own neck, from the top down."""


class Change(NamedTuple):
    """What a loss returns besides its value: the parts of the state that it changes, and its terms."""

    statistics: Any
    slots: Any
    terms: Terms
    """The terms of the loss, for the log. The step adds the total."""


def kmeans_settings(config: Config, epoch: int) -> dict[str, Any]:
    """Give the keywords of `cluster_tables` for an epoch: the keys of K-means that all methods share."""
    adapt = config.adapt
    return {
        "num_clusters": adapt.num_clusters,
        "key": epoch_key(config.seed, "kmeans", epoch),
        "num_init": adapt.kmeans_init,
        "max_iterations": adapt.kmeans_iterations,
        "tolerance": adapt.kmeans_tolerance,
        **({"layout": Layout(make_mesh())} if adapt.kmeans_devices == "all" else {}),
    }


def pass_domains(
    frame: Frame,
    params: Variables,
    statistics: ByDomain[Variables],
    images: ByDomain[Float[Array, "B M H W 3"] | None],
) -> tuple[ByDomain[Outputs | None], ByDomain[Variables]]:
    """Pass the views of each domain through the network separately, so each has its own batch statistics.

    With `config.adapt.statistics` "per_domain", each domain has its own running average. With "shared", both domains
    move the same one, as in code that does not distinguish domains. A domain that is None takes no part.
    """

    def run(running: Variables, view: Float[Array, "B M H W 3"]) -> tuple[Outputs, Variables]:
        return frame.model({"params": params, "batch_stats": running}, view, train=True)

    return _pass_each(frame, run, statistics, images)


def pass_domains_with_parts(
    frame: Frame,
    params: dict[str, Any],
    statistics: ByDomain[dict[str, Variables]],
    images: ByDomain[Float[Array, "B M H W 3"] | None],
    *,
    num_parts: int,
) -> tuple[ByDomain[WithParts | None], ByDomain[dict[str, Variables]]]:
    """Pass the views of each domain through the network once, for its outputs and the features of P parts.

    Parameters and statistics have the network's under `network`, and those of the parts' necks under `necks`
    (networks/part_necks.py). The rest is as in `pass_domains`.
    """

    def run(running: dict[str, Variables], view: Float[Array, "B M H W 3"]):
        network = {"params": params["network"], "batch_stats": running["network"]}
        features, stripes, of_branches = frame.model.features_and_stripes(
            network, view, train=True, num_parts=num_parts
        )
        outputs, of_fusion = frame.model.outputs_from(network, features, train=True)
        necks = {"params": params["necks"], "batch_stats": running["necks"]}
        parts, of_necks = norm_parts(necks, stripes, train=True)
        return WithParts(outputs, parts), {"network": of_branches | of_fusion, "necks": of_necks}

    return _pass_each(frame, run, statistics, images)


def _pass_each(
    frame: Frame, run: Callable, statistics: ByDomain, images: ByDomain
) -> tuple[ByDomain, ByDomain]:
    """Run each domain's view with its running statistics, which both domains may share."""
    running, outputs = list(statistics), [None, None]
    for place, view in enumerate(images):
        if view is None:
            continue
        outputs[place], after = run(running[place], view)
        if frame.config.adapt.statistics == "shared":
            running = [after, after]
        else:
            running[place] = after
    return ByDomain(*outputs), ByDomain(*running)


def views(frame: Frame, key: PRNGKeyArray, source: Batch | None, target: Batch | None) -> ByDomain:
    """Draw one view of each domain's batch; a batch that is None stays None."""
    keys = jax.random.split(key, 2)
    drawn = [
        None if batch is None else frame.view(each, batch.images)
        for each, batch in zip(keys, (source, target), strict=True)
    ]
    return ByDomain(*drawn)
