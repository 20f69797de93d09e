"""XBM, the cross-batch memory of the baseline.

Source: Wang et al., "Cross-batch memory for embedding learning", CVPR 2020.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Int32

from man_jax.losses.identity import TripletForm, hardest_triplets

EMPTY = -1


class Memory(NamedTuple):
    """A ring buffer of fused features and their labels in the common label space (source, then clusters)."""

    features: Float[Array, "S F"]
    labels: Int32[Array, " S"]
    cursor: Int32[Array, ""]


def empty_memory(*, capacity: int, dim: int) -> Memory:
    """A memory with room for `capacity` features and none in it."""
    labels = jnp.full(capacity, EMPTY, jnp.int32)
    return Memory(jnp.zeros((capacity, dim)), labels, jnp.int32(0))


def enqueue(
    memory: Memory,
    features: Float[Array, "B F"],
    labels: Int[Array, " B"],
    *,
    mask: Bool[Array, " B"] | None = None,
) -> Memory:
    """Write the rows where `mask` holds, in their order, over the oldest ones; no gradient passes."""
    capacity = memory.labels.shape[0]
    mask = jnp.ones(labels.shape[0], bool) if mask is None else mask
    order = jnp.cumsum(mask) - 1
    written = mask.sum()
    # Rows that a later one of the same batch would overwrite, and masked ones, go to a slot past the end.
    keep = mask & (order >= written - capacity)
    slot = jnp.where(keep, (memory.cursor + order) % capacity, capacity)
    return Memory(
        features=memory.features.at[slot].set(jax.lax.stop_gradient(features), mode="drop"),
        labels=memory.labels.at[slot].set(labels.astype(jnp.int32), mode="drop"),
        cursor=((memory.cursor + written) % capacity).astype(jnp.int32),
    )


def flush(memory: Memory, *, first_label: int) -> Memory:
    """Forget entries labelled `first_label` or higher: clusters change their meaning at each re-clustering.

    Differs from the reference codes: they forget to forget.
    """
    return memory._replace(labels=jnp.where(memory.labels >= first_label, EMPTY, memory.labels))


def memory_triplet(
    anchors: Float[Array, "B F"],
    labels: Int[Array, " B"],
    memory: Memory,
    *,
    mask: Bool[Array, " B"] | None = None,
    form: TripletForm = "hinge",
    margin: float = 0.3,
) -> Float[Array, ""]:
    """Batch-hard triplet loss of the batch against the memory; the memory is constant.

    Anchors masked out, or without a positive or a negative in the memory, are left out of the mean. An anchor that is
    in the memory already is its own positive there, the nearest possible: it counts where there is no other.
    """
    return hardest_triplets(
        anchors,
        labels,
        memory.features,
        memory.labels,
        mask=jnp.ones(labels.shape[0], bool) if mask is None else mask,
        candidates=(memory.labels != EMPTY)[None, :],
        form=form,
        margin=margin,
    )
