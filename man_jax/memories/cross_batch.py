"""XBM, the cross-batch memory of the baseline.

Source: Wang et al., "Cross-batch memory for embedding learning", CVPR 2020.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Int32

from man_jax.layout import WHOLE, Layout, extended
from man_jax.losses.identity import TripletForm, hardest_triplets

EMPTY = -1


class CrossBatch(NamedTuple):
    """A ring buffer of fused features and their labels in the common label space (source, then clusters).

    There are P ≥ S rows: where they are divided among devices, rows that are never used make their number divisible.
    """

    features: Float[Array, "P F"]
    labels: Int32[Array, " S"]
    cursor: Int32[Array, ""]


def empty_queue(*, capacity: int, dim: int, layout: Layout = WHOLE) -> CrossBatch:
    """Make a queue with room for `capacity` features and none in it."""
    labels = jnp.full(capacity, EMPTY, jnp.int32)
    features = layout.divided(jnp.zeros((layout.padded(capacity), dim)))
    return CrossBatch(features, labels, jnp.int32(0))


def enqueue(
    queue: CrossBatch,
    features: Float[Array, "B F"],
    labels: Int[Array, " B"],
    *,
    mask: Bool[Array, " B"] | None = None,
    layout: Layout = WHOLE,
) -> CrossBatch:
    """Write the rows where `mask` holds, in their order, over the oldest ones; no gradient passes."""
    capacity = queue.labels.shape[0]
    mask = jnp.ones(labels.shape[0], bool) if mask is None else mask
    order = jnp.cumsum(mask) - 1
    written = mask.sum()
    # Masked rows, and rows that a later row of the batch would overwrite, go to a slot past the end.
    keep = mask & (order >= written - capacity)
    slot = layout.everywhere(jnp.where(keep, (queue.cursor + order) % capacity, queue.features.shape[0]))
    features = layout.everywhere(jax.lax.stop_gradient(features))
    return CrossBatch(
        features=layout.divided(queue.features.at[slot].set(features, mode="drop")),
        labels=queue.labels.at[slot].set(labels.astype(jnp.int32), mode="drop"),
        cursor=((queue.cursor + written) % capacity).astype(jnp.int32),
    )


def flush(queue: CrossBatch, *, first_label: int, renewed: Bool[Array, " K"] | None = None) -> CrossBatch:
    """Forget entries labelled `first_label` or higher, because clusters have a new meaning at each re-clustering.

    With `renewed`, it forgets only those of the clusters whose meaning is new.

    Differs from the reference codes: they keep these entries.
    """
    forgotten = queue.labels >= first_label
    if renewed is not None:
        forgotten &= renewed[jnp.clip(queue.labels - first_label, 0, renewed.shape[0] - 1)]
    return queue._replace(labels=jnp.where(forgotten, EMPTY, queue.labels))


def queue_triplet(
    anchors: Float[Array, "B F"],
    labels: Int[Array, " B"],
    queue: CrossBatch,
    *,
    mask: Bool[Array, " B"] | None = None,
    weight: Float[Array, " B"] | None = None,
    form: TripletForm = "hinge",
    margin: float = 0.3,
    layout: Layout = WHOLE,
) -> Float[Array, ""]:
    """Compute the batch-hard triplet loss of the batch against the queue, which is constant.

    Anchors that are masked out, or that have no positive or no negative in the queue, are left out of the mean. An
    anchor that is in the queue already is its own positive there, at distance 0; it counts only if there is no other.
    `weight` says how much each anchor counts.
    """
    row_labels = layout.divided(extended(queue.labels, queue.features.shape[0], EMPTY))
    return hardest_triplets(
        layout.everywhere(anchors),
        layout.everywhere(labels),
        queue.features,
        row_labels,
        mask=jnp.ones(labels.shape[0], bool) if mask is None else mask,
        weight=weight,
        candidates=(row_labels != EMPTY)[None, :],
        form=form,
        margin=margin,
    )
