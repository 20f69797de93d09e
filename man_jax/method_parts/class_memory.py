"""Keep one memory of centres for the classes of both domains: the source's identities, then the target's clusters."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from man_jax.frame import ByDomain, EpochFeatures, Frame, Labels
from man_jax.memories.centres import cluster_centres


class ClassMemory(NamedTuple):
    """The centres of all classes, and which of them exist."""

    centres: Float[Array, "C F"]
    """Centres of unit length; a class that does not exist has zeros."""
    exists: Bool[Array, " C"]


def empty_memory(frame: Frame) -> ClassMemory:
    """Make a memory in which no class exists."""
    shape = (frame.space.num_classes, frame.model.num_modalities * frame.model.dim)
    return ClassMemory(jnp.zeros(shape), jnp.zeros(shape[0], bool))


def filled_memory(frame: Frame, features: EpochFeatures, labels: ByDomain[Labels]) -> ClassMemory:
    """Make a memory of the fused features of each class; under the US protocol the source is no class."""
    empty, first = empty_memory(frame), frame.space.num_source
    parts = [
        ClassMemory(empty.centres[:first], empty.exists[:first]),
        ClassMemory(empty.centres[first:], empty.exists[first:]),
    ]
    for place, (tables, known) in enumerate(zip(features, labels, strict=True)):
        if tables is not None:
            rows, numbers = jnp.asarray(tables[0].fused), jnp.asarray(known.labels[:, 0])
            num_classes = len(parts[place].exists)
            parts[place] = ClassMemory(*cluster_centres(rows, numbers, num_classes=num_classes))
    return ClassMemory(*map(jnp.concatenate, zip(*parts, strict=True)))
