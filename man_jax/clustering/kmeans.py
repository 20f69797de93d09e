"""Spherical K-means on the device, in blocks of samples (Eq. 1 and 3: the KM of the paper)."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, PRNGKeyArray

from man_jax.array_math import unit
from man_jax.clustering.kmeans_seeds import PRECISION, seed_centres
from man_jax.layout import WHOLE, Layout

SIMILARITIES_AT_ONCE = 2**24
"""Of samples and centres: 64 MiB in float32. If all of them are no more, rows are not cut into blocks."""
ROWS_OF_A_BLOCK = 1024


class KMeansResult(NamedTuple):
    """A clustering of N unit vectors into K clusters."""

    labels: Int32[Array, " N"]
    centres: Float[Array, "K D"]
    inertia: Float[Array, ""]
    """Σ over samples of 1 − cos(sample, its centre), which is half the squared Euclidean distance."""
    iterations: Int32[Array, ""]


def kmeans(
    features: Float[Array | np.ndarray, "N D"],
    *,
    num_clusters: int,
    key: PRNGKeyArray,
    num_init: int = 1,
    max_iterations: int = 100,
    tolerance: float = 1e-6,
    block_size: int | None = None,
    layout: Layout = WHOLE,
) -> KMeansResult:
    """Cluster unit vectors by cosine similarity: greedy k-means++ seeding, then Lloyd's iterations.

    Clusters that lose all their samples restart from the samples farthest from their own centres. An
    iteration that changes no label, or moves the centres by at most `tolerance` (mean squared), is the last. The best
    of `num_init` seedings by inertia is returned. No array is larger than N × D or block_size × K, and the samples are
    not copied; without `block_size`, it is chosen by the number of samples and clusters.

    With a layout that divides rows, each device clusters its part of them, with the same draws. Devices exchange sums
    once an iteration, one number a sample for ten seeds or a restart, and never rows, but for the few that are seeds or
    restart a cluster; only sums are rounded otherwise. The rows may be in a mapped file: each device reads its part
    once.

    Raises ValueError if there are fewer samples than clusters.

    Source: Eq. 1, 3; Arthur & Vassilvitskii, "k-means++", SODA 2007 (a greedy variant: `seed_centres`).
    Differs from the paper: the paper does not say which K-means; ours is spherical, because retrieval compares by
    cosine.
    """
    num_samples = features.shape[0]
    if not 1 <= num_clusters <= num_samples:
        raise ValueError(
            f"num_clusters is {num_clusters}, but there are {num_samples} samples to cluster; "
            f"choose 1 <= num_clusters <= {num_samples} (config.adapt.num_clusters)"
        )
    few = num_samples * num_clusters <= SIMILARITIES_AT_ONCE
    block = block_size or (num_samples if few else ROWS_OF_A_BLOCK)
    cluster = partial(
        _cluster,
        layout.put_rows(features),
        tolerance=tolerance,
        num_samples=num_samples,
        num_clusters=num_clusters,
        max_iterations=max_iterations,
        layout=layout._replace(block=block * layout.num_parts),
    )
    first, *others = (cluster(each) for each in jax.random.split(key, num_init))
    return _best(first, others)


def cluster_tables(
    tables: Sequence[Float[np.ndarray, "N D"]], *, num_clusters: int, key: PRNGKeyArray, **settings
) -> Int32[np.ndarray, "L N"]:
    """Cluster each table on its own (Eq. 1–3), e.g. those of R, N, T and F; `settings` are those of `kmeans`.

    Raises ValueError if a feature is not finite, or there are fewer samples than clusters.
    """
    keys = jax.random.split(key, len(tables))
    rows = []
    for number, (table, each) in enumerate(zip(tables, keys, strict=True), start=1):
        found = kmeans(table, num_clusters=num_clusters, key=each, **settings)
        if not np.isfinite(found.inertia):
            raise ValueError(
                f"table {number} of {len(tables)} to cluster has features that are not finite (NaN or inf); "
                f"look for NaN in the network's output"
            )
        # The device may have no room for the next table beside this one, so its labels are fetched first.
        rows.append(np.asarray(found.labels))
    return np.stack(rows)


@partial(jax.jit, static_argnames=("num_samples", "num_clusters", "max_iterations", "layout"))
def _cluster(
    rows, key, *, tolerance, num_samples: int, num_clusters: int, max_iterations: int, layout: Layout
) -> KMeansResult:
    """Cluster from one seeding."""
    real = layout.divided(jnp.arange(rows.shape[0]) < num_samples)
    centres = seed_centres(rows, real, key, num_samples=num_samples, num_clusters=num_clusters, layout=layout)
    if layout.is_divided or rows.shape[0] > layout.block:
        assign = partial(_assign_blocks, rows, real, layout)
    else:
        assign = partial(_assign_rows, rows, real, real)

    def goes_on(carry) -> Bool[Array, ""]:
        _, _, changed, shift, iteration = carry
        return changed & (shift > tolerance) & (iteration < max_iterations)

    def iterate(carry):
        centres, members, _, _, iteration = carry
        moved = restart_empty(unit(members.sums), members.counts, rows, members.similarity, layout)
        found = assign(moved)
        changed = jnp.any(found.labels != members.labels)
        return moved, found, changed, jnp.mean(jnp.sum((moved - centres) ** 2, axis=1)), iteration + 1

    carry = (centres, assign(centres), jnp.array(True), jnp.array(jnp.inf, centres.dtype), jnp.int32(0))
    centres, members, _, _, iterations = jax.lax.while_loop(goes_on, iterate, carry)
    inertia = jnp.sum(1.0 - members.similarity, where=real)
    found = KMeansResult(members.labels[:num_samples], centres, inertia, iterations)
    return KMeansResult(*(layout.everywhere(each) for each in found))


class _Members(NamedTuple):
    """Which cluster each row is nearest to, padding included, and the sums and counts of the samples of each."""

    labels: Int32[Array, " P"]
    similarity: Float[Array, " P"]
    """To the nearest centre; infinite for padding, so that it restarts no cluster."""
    sums: Float[Array, "K D"]
    counts: Float[Array, " K"]


def _assign_rows(
    rows: Float[Array, "b D"],
    real: Bool[Array, " b"],
    counted: Bool[Array, " b"],
    centres: Float[Array, "K D"],
    *,
    divided: bool = False,
) -> _Members:
    """Find the nearest centre of every row, and add up the rows that are `counted`."""
    similarity = jnp.matmul(centres, rows.T, precision=PRECISION)
    labels = jnp.argmax(similarity, axis=0).astype(jnp.int32)
    nearest = jnp.where(real, jnp.max(similarity, axis=0), jnp.inf)
    owners = jnp.where(counted, labels, len(centres))  # others are no cluster's

    def by_product(x: Array) -> Array:
        return jax.nn.one_hot(owners, len(centres), axis=0, dtype=x.dtype) @ x

    def one_by_one(x: Array) -> Array:
        return jax.ops.segment_sum(x, owners, len(centres))

    if divided:
        sums = by_product(rows)
    else:  # a processor adds each row once; an accelerator would add in another order each time
        sums = jax.lax.platform_dependent(rows, cpu=one_by_one, default=by_product)
    return _Members(labels, nearest, sums, one_by_one(jnp.ones(len(rows), rows.dtype)))


def _assign_blocks(
    rows: Float[Array, "P D"], real: Bool[Array, " P"], layout: Layout, centres: Float[Array, "K D"]
) -> _Members:
    """Find the nearest centre of every row, a block of each part at a time, and at the end add up the parts.

    Blocks have one size: the last begins where it still fits, and does not count rows of the one before again.
    """
    parts, of_part = layout.num_parts, rows.shape[0] // layout.num_parts
    height = min(of_part, max(1, layout.block // parts))
    rows, real = (layout.divided(x.reshape(parts, of_part, *x.shape[1:])) for x in (rows, real))

    def assign_parts(rows, real, counted) -> _Members:
        if layout.is_divided:
            assign = partial(_assign_rows, divided=True)
            return jax.vmap(assign, in_axes=(0, 0, 0, None))(rows, real, counted, centres)
        # An axis of one part would cost a processor several times the work.
        found = _assign_rows(rows.reshape(rows.shape[1:]), real.reshape(-1), counted.reshape(-1), centres)
        return _Members(*(x[None] for x in found))

    def add_block(place, found: _Members) -> _Members:
        start = jnp.minimum(place * height, of_part - height)
        block, known = (jax.lax.dynamic_slice_in_dim(x, start, height, axis=1) for x in (rows, real))
        is_new = start + jnp.arange(height)[None, :] >= place * height
        of_block = assign_parts(block, known, known & is_new)
        put = partial(jax.lax.dynamic_update_slice_in_dim, start_index=start, axis=1)
        so_far = _Members(
            put(found.labels, of_block.labels),
            put(found.similarity, of_block.similarity),
            found.sums + of_block.sums,
            found.counts + of_block.counts,
        )
        return jax.tree.map(layout.divided, so_far)

    # Each device has sums of its own until the last block.
    nothing = _Members(
        jnp.zeros((parts, of_part), jnp.int32),
        jnp.zeros((parts, of_part), rows.dtype),
        jnp.zeros((parts, *centres.shape), rows.dtype),
        jnp.zeros((parts, len(centres)), rows.dtype),
    )
    labels, similarity, sums, counts = jax.lax.fori_loop(
        0, -(-of_part // height), add_block, jax.tree.map(layout.divided, nothing)
    )
    return _Members(
        labels.reshape(-1),
        similarity.reshape(-1),
        layout.everywhere(sums.sum(axis=0)),
        layout.everywhere(counts.sum(axis=0)),
    )


def restart_empty(centres, counts, rows, similarity, layout: Layout) -> Float[Array, "K D"]:
    """Move the e-th empty cluster to the e-th farthest sample."""

    def move() -> Float[Array, "K D"]:
        number = min(centres.shape[0], similarity.shape[0])
        _, farthest = jax.lax.top_k(-layout.everywhere(similarity), number)
        empty = counts == 0
        rank = jnp.cumsum(empty) - 1
        return jnp.where(empty[:, None], layout.everywhere(rows[farthest[rank]]), centres)

    return jax.lax.cond(jnp.all(counts > 0), lambda: centres, move)


def _best(kept: KMeansResult, others: Sequence[KMeansResult]) -> KMeansResult:
    """Keep the clustering of the least inertia, of several the first."""
    for other in others:
        kept = jax.tree.map(partial(jnp.where, other.inertia < kept.inertia), other, kept)
    return kept
