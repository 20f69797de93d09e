"""Plan an adaptation step for chips that are not there: does it fit, what does it move, and how long would it take?"""

import math
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from absl import logging
from jax.sharding import AbstractMesh

from man_jax.config import Config, ConfigError
from man_jax.costs.arithmetic import count_flops
from man_jax.costs.chips import CHIPS, GIB, TPUS, Chip
from man_jax.costs.programs import Collective, ProgramCosts, program_costs
from man_jax.engine.build import CONVOLUTION_OF_ACCELERATORS
from man_jax.engine.footprint import Size, TracedStep, memory_of, trace_step
from man_jax.engine.gpu_devices import gpu_compiler_is_here, gpu_devices
from man_jax.sharding import AUTO, DATA, make_mesh

TPU_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
"""Without the first two, the TPU's library asks the network for the machine that it runs on. Without the last one, a
second process that plans is refused, as if it wanted the same chips."""

ONE_DEVICE_A_CHIP = {"v4": {"chip_config_name": "megacore"}}
"""What the TPU's library needs to be told so that both cores of a chip are one device."""


class Topology(NamedTuple):
    """A kind of chip and how many there are: "v5e:2x4", "h100:8"."""

    name: str
    chip: Chip
    num_chips: int
    is_tpu: bool


class StepPlan(NamedTuple):
    """What one step needs on each chip; what only a compiler knows is None where there is none."""

    topology: Topology
    batch: int
    """Triples of each domain, on all chips together."""
    domains: int
    flops: float
    held: float
    """Bytes of the state and of the chip's part of the batches."""
    scratch: float | None
    """Bytes of activations and all else that the step needs while it runs."""
    costs: ProgramCosts | None

    @property
    def fits(self) -> bool | None:
        """Whether it fits the chip's memory."""
        return None if self.scratch is None else self.held + self.scratch <= self.topology.chip.memory

    @property
    def seconds(self) -> dict[str, float]:
        """The least seconds for arithmetic, memory and links at the chip's peaks; without a compiler, for the first."""
        chip = self.topology.chip
        found = {"arithmetic": self.flops / chip.flops}
        if self.costs is not None:
            found["memory"] = self.costs.bytes / chip.bandwidth
            found["links"] = links_seconds(self.costs.collectives, self.topology)
        return found

    @property
    def step_seconds(self) -> float:
        """The least seconds of a step, if arithmetic and memory work at the same time and links do not."""
        found = self.seconds
        return max(found["arithmetic"], found.get("memory", 0.0)) + found.get("links", 0.0)


def parse_topology(name: str) -> Topology:
    """Read a topology such as v5e:2x4 (chips in rows and columns) or h100:8; ConfigError if there is no such chip."""
    kind, _, shape = name.lower().partition(":")
    sizes = shape.split("x")
    if kind not in CHIPS or not all(each.isdecimal() and int(each) for each in sizes):
        raise ConfigError(
            f"--topology {name}: write a chip and its number as in v5e:2x4 or h100:8; the chips are {', '.join(CHIPS)}"
        )
    return Topology(f"{kind}:{shape}", CHIPS[kind], math.prod(map(int, sizes)), kind in TPUS)


def plan_step(config: Config, topology: Topology, sizes: Mapping[str, Size] | None = None) -> StepPlan:
    """Plan the step of a configuration for a topology; its batch is that of the configuration.

    The step is compiled as if the chips were there, which takes minutes at full size; for a GPU it is traced only, if
    JAX's plugin for CUDA is not installed. `auto` forms are those of such chips. `sizes`: as in `trace_step`.

    Raises:
        ConfigError: the batch cannot be divided among the chips, libtpu is missing, or it refuses the topology.
    """
    _check_batch(config, topology)
    config = for_chips(config)
    config.evaluation.batch_size = topology.num_chips  # no evaluation is planned, and its batch need not fit
    if topology.is_tpu or gpu_compiler_is_here():
        step, compiled = compile_step(config, topology, sizes)
        memory = memory_of(compiled)
        held, scratch = memory.held, memory.results + memory.scratch
        costs = program_costs(compiled.as_text() or "")
    else:
        # Nothing is compiled, so the mesh needs no devices.
        step = trace_step(config, sizes, mesh=AbstractMesh((topology.num_chips,), (DATA,), axis_types=AUTO))
        held, scratch, costs = _held(step), None, None
    return StepPlan(
        topology=topology,
        batch=config.batch.identities * config.batch.instances,
        domains=1 if config.adapt.protocol == "us" else 2,
        flops=count_flops(step.traced.jaxpr) / topology.num_chips,
        held=held,
        scratch=scratch,
        costs=costs,
    )


def for_chips(config: Config) -> Config:
    """Copy a configuration, with the convolutions that `auto` means on TPUs and GPUs; here it would mean a CPU's."""
    config = config.copy_and_resolve_references()
    if config.model.convolution == "auto":
        config.model.convolution = CONVOLUTION_OF_ACCELERATORS
    return config


def compile_step(
    config: Config, topology: Topology, sizes: Mapping[str, Size] | None = None
) -> tuple[TracedStep, jax.stages.Compiled]:
    """Trace the step for the chips of a topology, and compile it as if they were there."""
    kind = topology.name.partition(":")[0]
    devices = tpu_devices(topology) if topology.is_tpu else gpu_devices(kind, topology.num_chips)
    step = trace_step(config, sizes, mesh=make_mesh(devices))
    return step, step.traced.lower().compile()


def tpu_devices(topology: Topology) -> Any:
    """Give the devices of a TPU topology, which can be compiled for and not run on."""
    from jax.experimental import topologies

    for name, value in TPU_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    options: Any = ONE_DEVICE_A_CHIP.get(topology.name.partition(":")[0], {})
    try:
        return topologies.get_topology_desc(platform="tpu", topology_name=topology.name, **options).devices
    except Exception as error:  # JAX and libtpu raise several kinds
        told = str(error).splitlines()[0]
        raise ConfigError(
            f"--topology {topology.name}: {told}; it needs libtpu (pip install 'man_jax[tpu-plan]'), and a topology "
            f"that libtpu knows, e.g. v5e:2x4, v4:2x2x2"
        ) from None


def links_seconds(collectives: Mapping[str, Collective], topology: Topology) -> float:
    """Estimate the seconds that all collectives take over all links at their peak, one after the other.

    A reduction sends each array twice, once to add up and once to give back the sum; all else sends it once. A chip has
    its own part already.
    """
    sent = sum(
        (2 if kind == "all-reduce" else 1) * found.bytes * (1 - 1 / topology.num_chips)
        for kind, found in collectives.items()
    )
    return sent / topology.chip.links


def largest_batch(one: StepPlan, other: StepPlan) -> int | None:
    """Estimate the largest batch that fits, by a line through the memory of two batches; None if it does not grow."""
    if one.scratch is None or other.scratch is None:
        return None
    need = (one.held + one.scratch, other.held + other.scratch)
    slope = (need[1] - need[0]) / (other.batch - one.batch)
    if slope <= 0:
        logging.warning("the memory of %s does not grow with the batch", one.topology.name)
        return None
    return int(one.batch + (one.topology.chip.memory - need[0]) / slope)


HEADS = (
    "chips",
    "triples a domain",
    "held, GiB",
    "scratch, GiB",
    "fits",
    "GFLOP",
    "moved, GB",
    "collectives",
    "arithmetic, ms",
    "memory, ms",
    "links, ms",
    "least step, ms",
    "triples/s at most",
)


def plan_lines(plans: list[StepPlan]) -> list[str]:
    """Write plans as a table in Markdown, and below it the largest batches, where two of a topology are there."""
    rows = [HEADS, ("---",) + ("---:",) * (len(HEADS) - 1), *map(_row, plans)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    by_topology: dict[str, list[StepPlan]] = {}
    for plan in plans:
        by_topology.setdefault(plan.topology.name, []).append(plan)
    for name, found in by_topology.items():
        if len({plan.batch for plan in found}) > 1 and (fits := largest_batch(found[0], found[-1])):
            lines += ["", f"{name}: about {fits:,} triples of each domain fit."]
    return lines


def _row(plan: StepPlan) -> tuple[str, ...]:
    seconds = plan.seconds
    collectives, moved = "–", "–"
    if plan.costs is not None:
        moved = f"{plan.costs.bytes / 1e9:.4g}"
        told = [
            f"{found.number} {kind} {found.bytes / 1e6:.3g} MB"
            for kind, found in plan.costs.collectives.items()
        ]
        collectives = ", ".join(told) or "none"
    return (
        plan.topology.name,
        f"{plan.batch:,}",
        f"{plan.held / GIB:.3g}",
        "–" if plan.scratch is None else f"{plan.scratch / GIB:.3g}",
        {None: "–", True: "yes", False: "no"}[plan.fits],
        f"{plan.flops / 1e9:.4g}",
        moved,
        collectives,
        *(
            f"{1000 * seconds[name]:.3g}" if name in seconds else "–"
            for name in ("arithmetic", "memory", "links")
        ),
        f"{1000 * plan.step_seconds:.3g}",
        f"{plan.domains * plan.batch / plan.step_seconds:,.0f}",
    )


def _held(step: TracedStep) -> float:
    """Count the bytes that one chip has of the state and of the batches."""
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(step.arguments)
    )


def _check_batch(config: Config, topology: Topology) -> None:
    batch = config.batch.identities * config.batch.instances
    if batch % topology.num_chips:
        raise ConfigError(
            f"--topology {topology.name}: a batch of {batch} triples cannot be divided among {topology.num_chips} "
            f"chips; set config.batch.identities or --batches"
        )
