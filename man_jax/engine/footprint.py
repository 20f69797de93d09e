"""Measure the memory of a configuration's adaptation step by compiling it, without data, weights or training."""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from data_pipelines.reading.datasets import FACTS
from data_pipelines.session import compilation
from man_jax import methods
from man_jax.config import Config, ConfigError, check_config
from man_jax.costs.chips import GIB
from man_jax.engine.build import build_frame, build_optimizer
from man_jax.engine.placement import memory_layout, sharded_places
from man_jax.engine.state import begin_phase, create_state
from man_jax.engine.step import make_step
from man_jax.frame import Batch, ByDomain, Frame, LabelSpace, TrainState
from man_jax.layout import AnyMesh, tree_shardings
from man_jax.runs.compilation_notice import say
from man_jax.sharding import batch_sharding, make_mesh

Size = tuple[int, int]
"""The number of training triples, and of their identities."""
CAMERAS = 8
"""How many cameras a published data set is taken to have; most have 8."""


class TracedStep(NamedTuple):
    """An adaptation step as it was traced, for a mesh whose devices need not be there."""

    traced: jax.stages.Traced
    num_parameters: int
    arguments: Any = ()
    """The state and the batches, as shapes that say how they lie."""


def trace_step(config: Config, sizes: Mapping[str, Size] | None = None, *, mesh: AnyMesh) -> TracedStep:
    """Trace the adaptation step of a configuration; nothing is compiled.

    `sizes`: those of the training sets of source and target; None: the published ones. Raises ConfigError for a data
    set whose size is then known only from its files.
    """
    frame, state = abstract_state(config, sizes, mesh=mesh)
    method = methods.find(config.method)
    optimizer = build_optimizer(config.adapt, iterations=config.adapt.iterations)
    batch_size = config.batch.identities * config.batch.instances
    shape = (batch_size, frame.model.num_modalities, *config.data.image_size, 3)
    batch = jax.eval_shape(partial(_blank_batch, shape))
    shardings = tree_shardings(state, mesh, sharded_places(method, frame))
    state = jax.tree.map(_placed, state, shardings)
    batch = jax.tree.map(lambda leaf: _placed(leaf, batch_sharding(mesh)), batch)
    batches = (None if config.adapt.protocol == "us" else batch, batch)
    traced = make_step(method, frame, optimizer, mesh).trace(state, *batches)
    number = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    return TracedStep(traced, number, (state, *batches))


def abstract_state(
    config: Config, sizes: Mapping[str, Size] | None = None, *, mesh: AnyMesh
) -> tuple[Frame, TrainState]:
    """Give the frame of a configuration, and the shapes of the state of its adaptation; arguments: `trace_step`."""
    check_config(config, num_devices=mesh.size)
    source, target = (sizes[side] if sizes else published_size(config, side) for side in ("source", "target"))
    method = methods.find(config.method)
    truth = config.adapt.labels == "truth"
    capacity = target[1] if truth else method.capacity(config, target[0])
    cameras = ByDomain(*(np.arange(size[0], dtype=np.int32) % CAMERAS for size in (source, target)))
    numbers, layout = ByDomain(source[0], target[0]), memory_layout(method, config, mesh)
    frame = build_frame(config, LabelSpace(source[1], capacity), numbers, cameras, layout=layout)
    optimizer = build_optimizer(config.adapt, iterations=config.adapt.iterations)
    return frame, jax.eval_shape(partial(_adapting_state, method, frame, optimizer))


def step_footprint(config: Config, sizes: Mapping[str, Size] | None = None) -> dict[str, Any]:
    """Measure memory (GiB a device) and compile time (s) of an adaptation step; arguments and errors: `trace_step`."""
    start = time.monotonic()
    with compilation.compiling("the adaptation step", say=say):
        step = trace_step(config, sizes, mesh=make_mesh())
        compiled = step.traced.lower().compile()
    held, new, scratch = memory_of(compiled)
    return {
        "parameters": step.num_parameters,
        "state and batches, GiB": held / GIB,
        "results besides, GiB": new / GIB,
        "activations and scratch, GiB": scratch / GIB,
        "in all, GiB": (held + new + scratch) / GIB,
        "trace and compile, s": time.monotonic() - start,
    }


class Memory(NamedTuple):
    """Bytes that a compiled step needs on each device."""

    held: int
    """State and batches."""
    results: int
    """What is not written in the place of the state."""
    scratch: int
    """Activations and all else that is needed while it runs."""


def memory_of(compiled: jax.stages.Compiled) -> Memory:
    """Read from a compiled step how much memory it needs."""
    found: Any = compiled.memory_analysis()
    results = found.output_size_in_bytes - found.alias_size_in_bytes
    return Memory(found.argument_size_in_bytes, results, found.temp_size_in_bytes)


def published_size(config: Config, side: str) -> Size:
    """Look up how many training triples and identities a published data set has."""
    name = config.data[side].name
    if name not in FACTS or "train" not in FACTS[name].published:
        sized = ", ".join(known for known, facts in FACTS.items() if facts.published)
        raise ConfigError(
            f"config.data.{side}.name is {name!r}, whose size is not known without its data; for --compile_only "
            f"and man_jax.plan set it to the nearest of {sized}"
        )
    return FACTS[name].published["train"]


def _adapting_state(method: Any, frame: Frame, optimizer: optax.GradientTransformation) -> TrainState:
    return begin_phase(method.start(frame, create_state(frame, optimizer)), optimizer)


def _blank_batch(shape: tuple[int, ...]) -> Batch:
    numbers = jnp.zeros(shape[0], jnp.int32)
    return Batch(
        images=jnp.zeros(shape, jnp.uint8),
        index=numbers,
        camera=numbers,
        labels=numbers[:, None],
        weight=jnp.zeros(shape[0]),
        present=jnp.ones(shape[:2], bool),
    )


def _placed(leaf, sharding):
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
