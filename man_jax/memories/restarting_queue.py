"""A queue of XBM that starts again at its first row, as the authors' code of MAN and the reference code of XBM fill it.

Source: Wang et al., "Cross-batch memory for embedding learning", CVPR 2020.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from man_jax.memories.cross_batch import CrossBatch


def enqueue_restarting(
    queue: CrossBatch,
    features: Float[Array, "B F"],
    labels: Int[Array, " B"],
    *,
    mask: Bool[Array, " B"],
) -> CrossBatch:
    """Write the rows where `mask` holds, in their order, behind the last ones; no gradient passes.

    If q rows do not fit any more, they overwrite the last q rows of the queue, and the next ones begin at row 0. So a
    row in the middle is overwritten once a round, and the last rows more often. Of more rows than the queue holds, the
    last ones are kept.

    Differs from memories/cross_batch.py's enqueue, which always overwrites the oldest rows.
    """
    capacity = queue.labels.shape[0]
    order = jnp.cumsum(mask) - 1
    written = mask.sum()
    fits = queue.cursor + written <= capacity
    slot = order + jnp.where(fits, queue.cursor, capacity - written)
    # Masked rows, and rows before the first, go to a slot past the end.
    slot = jnp.where(mask & (slot >= 0), slot, capacity)
    return CrossBatch(
        features=queue.features.at[slot].set(jax.lax.stop_gradient(features), mode="drop"),
        labels=queue.labels.at[slot].set(labels.astype(jnp.int32), mode="drop"),
        cursor=jnp.where(fits, queue.cursor + written, 0).astype(jnp.int32),
    )
