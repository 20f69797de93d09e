"""K-means of rows that are divided among the devices, with the draws and formulas of clustering/kmeans.py.

Each device compares its own rows with all centres and adds up its own sums. Devices exchange these sums once an
iteration, and never rows, but for the few that are drawn as seeds or restart a cluster.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, PRNGKeyArray

from man_jax.array_math import unit
from man_jax.layout import WHOLE, Layout

Clustering = tuple[Int32[Array, " N"], Float[Array, "K D"], Float[Array, ""], Int32[Array, ""]]
"""Labels, centres, inertia and the number of iterations, as in `KMeansResult`."""


def divided_kmeans(
    features: Float[np.ndarray, "N D"],
    keys: PRNGKeyArray,
    *,
    num_clusters: int,
    max_iterations: int,
    tolerance: float,
    block_size: int,
    layout: Layout,
) -> Clustering:
    """Cluster unit vectors of the host, each device its own part of them; the best seeding of all keys is kept.

    The vectors may be in a mapped file: each device reads its part once. `block_size`: the rows that each device
    compares with all centres at a time.
    """
    rows = layout.put_rows(features)
    kept, best = None, math.inf
    for key in keys:
        found = _cluster(
            rows,
            key,
            num_samples=len(features),
            num_clusters=num_clusters,
            max_iterations=max_iterations,
            tolerance=tolerance,
            block_size=block_size,
            layout=layout,
        )
        if kept is None or float(found[2]) < best:
            kept, best = found, float(found[2])
    assert kept is not None  # there is a key
    return kept


@partial(jax.jit, static_argnames=("num_samples", "num_clusters", "max_iterations", "block_size", "layout"))
def _cluster(
    rows,
    key,
    *,
    num_samples: int,
    num_clusters: int,
    max_iterations: int,
    tolerance,
    block_size,
    layout: Layout,
) -> Clustering:
    real = layout.divided(jnp.arange(rows.shape[0]) < num_samples)
    layout = layout._replace(block=block_size * layout.num_parts)
    blocks = (layout.blocks(rows), layout.blocks(real))
    centres = _seed(rows, real, key, num_samples=num_samples, num_clusters=num_clusters, layout=layout)

    def shifted(carry):
        _, shift, iteration = carry
        return (shift > tolerance) & (iteration < max_iterations)

    def iterate(carry):
        centres, _, iteration = carry
        _, similarity, sums, counts = _assign(blocks, centres, rows.shape[0], layout)
        moved = unit(sums)
        moved = jax.lax.cond(
            jnp.all(counts > 0),
            lambda: moved,
            lambda: restart_empty(moved, counts, rows, similarity, layout),
        )
        return moved, jnp.mean(jnp.sum((moved - centres) ** 2, axis=1)), iteration + 1

    start = (centres, jnp.array(jnp.inf, centres.dtype), jnp.int32(0))
    centres, _, iterations = jax.lax.while_loop(shifted, iterate, start)
    labels, similarity, _, _ = _assign(blocks, centres, rows.shape[0], layout)
    inertia = jnp.sum(1.0 - similarity, where=real)
    whole = layout.everywhere
    return whole(labels[:num_samples]), whole(centres), whole(inertia), whole(iterations)


def _seed(rows, real, key, *, num_samples: int, num_clusters: int, layout: Layout) -> Float[Array, "K D"]:
    """Seed by greedy k-means++, with the draws of one device."""
    num_candidates = 2 + int(math.log(num_clusters)) if num_clusters > 1 else 1
    first_key, key = jax.random.split(key)
    # A list of one, because a row that one number names would be cut out of all rows, gathered.
    first = layout.everywhere(rows[jax.random.randint(first_key, (1,), 0, num_samples)])

    def distance_to(candidates: Float[Array, "L D"]) -> Float[Array, "L N"]:
        return jnp.maximum(0.0, 1.0 - candidates @ rows.T)

    def add_centre(i, carry):
        centres, nearest = carry
        weights = jnp.where(real, jnp.where(jnp.sum(nearest, where=real) > 0, nearest, 1.0), 0.0)
        noise = jax.random.gumbel(jax.random.fold_in(key, i), (num_candidates, num_samples), weights.dtype)
        noise = jnp.pad(noise, ((0, 0), (0, rows.shape[0] - num_samples)))
        drawn = jnp.argmax(layout.divided(noise, axis=1) + jnp.log(weights)[None, :], axis=1)
        candidates = layout.everywhere(rows[drawn])
        remaining = jnp.minimum(nearest[None, :], distance_to(candidates))
        chosen = jnp.argmin(jnp.sum(remaining, axis=1, where=real[None, :]))
        return centres.at[i].set(candidates[chosen]), remaining[chosen]

    centres = jnp.zeros((num_clusters, rows.shape[1]), rows.dtype).at[0].set(first[0])
    centres, _ = jax.lax.fori_loop(1, num_clusters, add_centre, (centres, distance_to(first)[0]))
    return centres


def _assign(blocks, centres: Float[Array, "K D"], num_rows: int, layout: Layout):
    """Find the nearest centre of every row, and the sum and count of each cluster's rows."""
    num_clusters, parts = centres.shape[0], layout.num_parts

    def assign_block(carry, block):
        sums, counts = carry
        rows, real = block
        similarity = jnp.einsum("pbd,kd->pbk", rows, centres)
        labels = jnp.argmax(similarity, axis=2).astype(jnp.int32)
        members = jax.nn.one_hot(labels, num_clusters, dtype=rows.dtype) * real[..., None]
        nearest = jnp.where(real, jnp.max(similarity, axis=2), jnp.inf)  # padding restarts no cluster
        sums = layout.divided(sums + jnp.einsum("pbk,pbd->pkd", members, rows))
        return (sums, layout.divided(counts + members.sum(axis=1))), (labels, nearest)

    # Each device has sums of its own until the last block.
    start = (
        layout.divided(jnp.zeros((parts, *centres.shape), centres.dtype)),
        layout.divided(jnp.zeros((parts, num_clusters), centres.dtype)),
    )
    (sums, counts), found = jax.lax.scan(assign_block, start, blocks)

    def in_order(each: Array) -> Array:
        return jnp.moveaxis(each, 0, 1).reshape(parts, -1)[:, : num_rows // parts].reshape(-1)

    labels, similarity = (in_order(each) for each in found)
    return labels, similarity, layout.everywhere(sums.sum(axis=0)), layout.everywhere(counts.sum(axis=0))


def restart_empty(centres, counts, rows, similarity, layout: Layout = WHOLE) -> Float[Array, "K D"]:
    """Move the e-th empty cluster to the e-th farthest sample."""
    number = min(centres.shape[0], similarity.shape[0])
    _, farthest = jax.lax.top_k(-layout.everywhere(similarity), number)
    empty = counts == 0
    rank = jnp.cumsum(empty) - 1
    return jnp.where(empty[:, None], layout.everywhere(rows[farthest[rank]]), centres)
