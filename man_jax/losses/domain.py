"""PDA: prototype-guided domain distribution alignment (Eq. 12–16)."""

from functools import partial
from typing import Literal, TypedDict

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from man_jax.array_math import masked_mean, squared_distances
from man_jax.layout import WHOLE, Layout

Kernel = Literal["fixed", "multi"]
Inter = Literal["margin", "plain", "hinge"]
Pairs = Literal["ins_proto", "ins_ins", "proto_proto"]


class Form(TypedDict):
    """The readings of Eq. 13 and 15."""

    margin: float
    inter: Inter
    kernel: Kernel
    layout: Layout


NUM_KERNELS = 5

SMALLEST_BANDWIDTH = 1e-4
"""The smallest squared distance used as a bandwidth; unit vectors of different identities are about 1 apart."""


def prototype_domain_loss(
    source_instances: Float[Array, "M B D"],
    target_instances: Float[Array, "M B D"],
    source_prototypes: Float[Array, "M C D"],
    target_prototypes: Float[Array, "M K D"],
    *,
    source_valid: Bool[Array, " C"],
    target_valid: Bool[Array, " K"],
    margin: float = 0.5,
    inter: Inter = "margin",
    kernel: Kernel = "fixed",
    layout: Layout = WHOLE,
) -> dict[str, Float[Array, ""]]:
    """Compute the two halves of L_PDA (Eq. 16), each for both directions.

        L_PDA = L_intra(I^s, P^t) + L_intra(P^s, I^t) + L_inter(I^s, P^t) + L_inter(P^s, I^t)

    Instances are all samples of the batch, reliable or not; prototypes are constants. A domain without any
    valid prototype contributes nothing.

    Differs from the paper: see `alignment_loss`.
    """
    source_prototypes, target_prototypes = jax.lax.stop_gradient((source_prototypes, target_prototypes))
    form: Form = {"margin": margin, "inter": inter, "kernel": kernel, "layout": layout}
    to_target = alignment_loss(source_instances, target_prototypes, y_valid=target_valid, **form)
    to_source = alignment_loss(target_instances, source_prototypes, y_valid=source_valid, **form)
    return jax.tree.map(jnp.add, to_target, to_source)


def same_kind_domain_loss(
    source_rows: Float[Array, "M B D"],
    target_rows: Float[Array, "M C D"],
    *,
    source_valid: Bool[Array, " B"] | None = None,
    target_valid: Bool[Array, " C"] | None = None,
    margin: float = 0.5,
    inter: Inter = "margin",
    kernel: Kernel = "fixed",
    layout: Layout = WHOLE,
) -> dict[str, Float[Array, ""]]:
    """Compute the halves of Eq. 16 with one kind of rows on both sides: Table 5's Ins-Ins and Proto-Proto.

    Both directions of Eq. 16 become the same, so each half counts twice, on the scale of `prototype_domain_loss`.

    Differs from the paper: it names the rows and gives no formula.
    """
    once = alignment_loss(
        source_rows,
        target_rows,
        x_valid=source_valid,
        y_valid=target_valid,
        margin=margin,
        inter=inter,
        kernel=kernel,
        layout=layout,
    )
    return jax.tree.map(lambda half: 2.0 * half, once)


def alignment_loss(
    x: Float[Array, "M B D"],
    y: Float[Array, "M C D"],
    *,
    x_valid: Bool[Array, " B"] | None = None,
    y_valid: Bool[Array, " C"] | None = None,
    margin: float = 0.5,
    inter: Inter = "margin",
    kernel: Kernel = "fixed",
    layout: Layout = WHOLE,
) -> dict[str, Float[Array, ""]]:
    """Compute L_intra and L_inter of two sets of rows in all modalities; 0 if either has no valid row.

        L_intra(X, Y) = Σ_M MMD(X_M, Y_M)                                      (Eq. 14)
        L_inter(X, Y) = Σ_{Mi ≠ Mj} |margin − MMD(X_Mi, Y_Mj)|, 6 ordered pairs (Eq. 15)

    `plain` is MMD without margin, `hinge` max(0, MMD − margin).

    Rows that the layout divides are compared a block at a time (`divided_discrepancy`).

    Differs from the paper: it writes the inter term as max(|·|), here the sum over pairs.
    """
    x_valid = jnp.ones(x.shape[1], bool) if x_valid is None else x_valid
    y_valid = jnp.ones(y.shape[1], bool) if y_valid is None else y_valid

    compare = partial(divided_discrepancy, layout=layout) if layout.is_divided else maximum_mean_discrepancy

    def of_pair(x_rows, y_rows):
        return compare(x_rows, y_rows, x_valid=x_valid, y_valid=y_valid, kernel=kernel)

    discrepancy = jax.vmap(lambda x_rows: jax.vmap(lambda y_rows: of_pair(x_rows, y_rows))(y))(x)
    penalty = _inter_penalty(discrepancy, margin=margin, form=inter)
    same = jnp.eye(x.shape[0], y.shape[0], dtype=bool)
    any_valid = x_valid.any() & y_valid.any()
    return {
        "intra": jnp.where(any_valid, jnp.sum(discrepancy, where=same), 0.0),
        "inter": jnp.where(any_valid, jnp.sum(penalty, where=~same), 0.0),
    }


def maximum_mean_discrepancy(
    x: Float[Array, "B D"],
    y: Float[Array, "C D"],
    *,
    x_valid: Bool[Array, " B"] | None = None,
    y_valid: Bool[Array, " C"] | None = None,
    kernel: Kernel = "fixed",
) -> Float[Array, ""]:
    """Compute the squared, biased MMD (Eq. 12, 13).

        MMD = mean k(x, x) + mean k(y, y) − 2 mean k(x, y),   means over valid rows

    `fixed`: k = exp(−d²/2). `multi`: mean of 5 Gaussian kernels whose bandwidths double around the mean
    squared distance of all pairs of distinct valid rows of x and y (a constant for the gradient). 0 if x or y has no
    valid row.

    Differs from the paper: invalid prototypes are masked; the paper has none.
    """
    x_valid = jnp.ones(x.shape[0], bool) if x_valid is None else x_valid
    y_valid = jnp.ones(y.shape[0], bool) if y_valid is None else y_valid
    pairs = (
        (squared_distances(x, x), x_valid[:, None] & x_valid[None, :]),
        (squared_distances(y, y), y_valid[:, None] & y_valid[None, :]),
        (squared_distances(x, y), x_valid[:, None] & y_valid[None, :]),
    )
    bandwidth = _mean_bandwidth(pairs, x_valid.sum() + y_valid.sum()) if kernel == "multi" else None
    xx, yy, xy = (masked_mean(gaussian_kernel(d2, bandwidth), mask) for d2, mask in pairs)
    return jnp.where(x_valid.any() & y_valid.any(), xx + yy - 2.0 * xy, 0.0)


def divided_discrepancy(
    x: Float[Array, "B D"],
    y: Float[Array, "C D"],
    *,
    x_valid: Bool[Array, " B"],
    y_valid: Bool[Array, " C"],
    kernel: Kernel,
    layout: Layout,
) -> Float[Array, ""]:
    """Compute `maximum_mean_discrepancy` of rows that are divided among devices; no array has C × C numbers.

    A block of rows is made whole on every device in turn, and compared with the rows that the device has. The mean
    squared distance of all pairs, for `multi`, follows from sums of rows: Σ_ij ‖z_i − z_j‖² = 2 n Σ‖z‖² − 2 ‖Σ z‖².
    """
    x_count, y_count = x_valid.sum(), y_valid.sum()
    bandwidth = None
    if kernel == "multi":
        kept = [jnp.where(valid[:, None], rows, 0.0) for rows, valid in ((x, x_valid), (y, y_valid))]
        number = x_count + y_count
        squares = sum(jnp.sum(rows**2) for rows in kept)
        whole = sum(jnp.sum(rows, axis=0) for rows in kept)
        bandwidth = _bandwidth(2.0 * number * squares - 2.0 * jnp.sum(whole**2), number)

    def mean(rows, valid, others, others_valid):
        total = _kernel_sum(rows, valid, others, others_valid, bandwidth, layout)
        return total / jnp.maximum(valid.sum() * others_valid.sum(), 1)

    xx, yy = mean(x, x_valid, x, x_valid), mean(y, y_valid, y, y_valid)
    return jnp.where((x_count > 0) & (y_count > 0), xx + yy - 2.0 * mean(y, y_valid, x, x_valid), 0.0)


def _kernel_sum(rows, valid, others, others_valid, bandwidth, layout: Layout) -> Float[Array, ""]:
    """Sum the kernel over all pairs of valid rows; `others` are made whole a block at a time."""

    @jax.checkpoint  # the distances of a block are computed again for the gradient
    def add(sums, block):
        some, kept = (layout.everywhere(each.reshape(-1, *each.shape[2:])) for each in block)
        similar = gaussian_kernel(squared_distances(rows, some), bandwidth)
        return sums + jnp.sum(similar, axis=1, where=valid[:, None] & kept[None, :]), None

    blocks = (layout.blocks(others), layout.blocks(others_valid))
    sums, _ = jax.lax.scan(add, layout.divided(jnp.zeros(rows.shape[0], rows.dtype)), blocks)
    return sums.sum()


def gaussian_kernel(d2: Float[Array, "B C"], bandwidth: Float[Array, ""] | None) -> Float[Array, "B C"]:
    """Compute exp(−d²/2), or, given a bandwidth b, the mean of exp(−d² / (b·2^i)) over i = −2 … 2."""
    if bandwidth is None:
        return jnp.exp(-d2 / 2.0)
    scales = [bandwidth * 2.0 ** (i - NUM_KERNELS // 2) for i in range(NUM_KERNELS)]
    return sum((jnp.exp(-d2 / scale) for scale in scales), start=jnp.zeros_like(d2)) / NUM_KERNELS


def _mean_bandwidth(pairs, num_rows) -> Float[Array, ""]:
    (xx, xx_mask), (yy, yy_mask), (xy, xy_mask) = pairs
    total = jnp.sum(xx, where=xx_mask) + jnp.sum(yy, where=yy_mask) + 2.0 * jnp.sum(xy, where=xy_mask)
    return _bandwidth(total, num_rows)


def _bandwidth(total, num_rows) -> Float[Array, ""]:
    """Turn the sum of squared distances of all pairs of rows into a bandwidth."""
    mean = total / jnp.maximum(num_rows * (num_rows - 1), 1)
    # Rows that are nearer to each other differ only by rounding, which a smaller bandwidth would magnify.
    return jax.lax.stop_gradient(jnp.maximum(mean, SMALLEST_BANDWIDTH))


def _inter_penalty(discrepancy: Float[Array, "M M"], *, margin: float, form: Inter) -> Float[Array, "M M"]:
    match form:
        case "margin":
            return jnp.abs(margin - discrepancy)
        case "plain":
            return discrepancy
        case "hinge":
            return jnp.maximum(0.0, discrepancy - margin)
    raise ValueError(f"inter is {form!r}; choose margin, plain or hinge")
