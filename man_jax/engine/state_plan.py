"""Say what the state of an adaptation takes on each chip, whole or divided, for any numbers of triples and clusters."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import jax
from jax.sharding import AbstractMesh

from man_jax import methods
from man_jax.config import Config, ConfigError
from man_jax.costs.chips import GIB
from man_jax.engine.footprint import Size, abstract_state, published_size
from man_jax.engine.step_plan import Topology
from man_jax.layout import Places, place_name, tree_shardings
from man_jax.sharding import AUTO, DATA


class PartSizes(NamedTuple):
    """Bytes of a part of the state on one chip."""

    name: str
    whole: float
    """If every array is whole on each chip."""
    divided: float | None
    """If the chips share what the method can divide; None: it can divide nothing."""


class StatePlan(NamedTuple):
    """What the state takes on each chip of a topology, and what a table of features takes on the host."""

    topology: Topology
    parts: list[PartSizes]
    features: float
    """Bytes of the features of both domains' triples, of one network."""


def planned_sizes(config: Config, triples: int) -> dict[str, Size] | None:
    """Give the sizes of both training sets, with so many triples of the target; None: the published ones.

    Raises:
        ConfigError: the target has fewer triples than clusters.
    """
    if not triples:
        return None
    if triples < config.adapt.num_clusters:
        raise ConfigError(
            f"--triples {triples}: there are {config.adapt.num_clusters} clusters (--clusters or "
            f"config.adapt.num_clusters); give more triples or fewer clusters"
        )
    return {"source": published_size(config, "source"), "target": (triples, config.adapt.num_clusters)}


def plan_state(config: Config, topology: Topology, sizes: Mapping[str, Size] | None = None) -> StatePlan:
    """Count the bytes of the state part by part, by its shapes; nothing is compiled. `sizes`: as in `trace_step`.

    Raises ConfigError as `trace_step` does.
    """
    method = methods.find(config.method)
    mesh = AbstractMesh((topology.num_chips,), (DATA,), axis_types=AUTO)
    one_batch = config.copy_and_resolve_references()
    one_batch.evaluation.batch_size = topology.num_chips
    places: Places = getattr(method, "SHARDED", {})
    frame, state = abstract_state(
        _memories(one_batch, "replicated") if places else one_batch, sizes, mesh=mesh
    )
    whole = divided = _by_part(state, mesh, {})
    if places:
        _, state = abstract_state(_memories(one_batch, "sharded"), sizes, mesh=mesh)
        divided = _by_part(state, mesh, places)
    parts = [PartSizes(name, size, divided[name] if places else None) for name, size in whole.items()]
    triples = frame.num_triples.target + (frame.num_triples.source if config.adapt.protocol == "uda" else 0)
    return StatePlan(topology, parts, triples * 3 * frame.model.num_modalities * frame.model.dim * 4.0)


def _memories(config: Config, value: str) -> Config:
    changed = config.copy_and_resolve_references()
    changed[config.method].memories = value
    return changed


def _by_part(state, mesh: AbstractMesh, places: Places) -> dict[str, float]:
    """Add up the bytes on one chip of the network, of the heads, and of each array group of the method."""
    found: dict[str, float] = {}
    leaves = jax.tree_util.tree_leaves_with_path(state)
    shardings = jax.tree.leaves(tree_shardings(state, mesh, places))
    for (path, leaf), sharding in zip(leaves, shardings, strict=True):
        name = place_name(path)
        part = ".".join(name.split(".")[:2]) if name.startswith("slots.") else "network and optimiser"
        part = "heads and their moments" if "heads." in name else part
        size = math.prod(sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        found[part] = found.get(part, 0.0) + size
    return found


HEADS = ("on each chip, GiB", "whole", "divided")


def state_lines(plan: StatePlan) -> list[str]:
    """Write a plan as a table in Markdown, with a line about the chip and the host below it."""
    rows = [*plan.parts, _total(plan.parts)]
    cells = [
        (part.name, _gib(part.whole), "–" if part.divided is None else _gib(part.divided)) for part in rows
    ]
    lines = [
        f"| {' | '.join(row)} |"
        for row in (
            (f"{plan.topology.name}: {HEADS[0]}", *HEADS[1:]),
            ("---", "---:", "---:"),
            *cells,
        )
    ]
    memory = plan.topology.chip.memory / GIB
    told = f"A chip has {memory:.4g} GiB, also for activations; the features of an epoch take "
    return [*lines, "", f"{told}{plan.features / GIB:.3g} GiB of the host or its disk."]


def _total(parts: list[PartSizes]) -> PartSizes:
    divided = [part.divided for part in parts if part.divided is not None]
    return PartSizes("in all", sum(part.whole for part in parts), sum(divided) if divided else None)


def _gib(size: float) -> str:
    return f"{size / GIB:.3g}"
