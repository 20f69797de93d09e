"""PDA: prototype-guided domain distribution alignment (Eq. 12–16)."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from man_jax.vectors import masked_mean, squared_distances

Kernel = Literal["fixed", "multi"]
Inter = Literal["margin", "plain", "hinge"]

NUM_KERNELS = 5

SMALLEST_BANDWIDTH = 1e-4
"""Squared distance; unit vectors of different identities are of the order of 1 apart."""


def prototype_domain_loss(
    source: Float[Array, "M B D"],
    target: Float[Array, "M B D"],
    source_prototypes: Float[Array, "M C D"],
    target_prototypes: Float[Array, "M K D"],
    *,
    source_valid: Bool[Array, " C"],
    target_valid: Bool[Array, " K"],
    margin: float = 0.5,
    inter: Inter = "margin",
    kernel: Kernel = "fixed",
) -> dict[str, Float[Array, ""]]:
    """The two halves of L_PDA (Eq. 16), each for both directions.

        L_intra(I, P) = Σ_M MMD(I_M, P_M)                                      (Eq. 14)
        L_inter(I, P) = Σ_{Mi ≠ Mj} |margin − MMD(I_Mi, P_Mj)|, 6 ordered pairs (Eq. 15)
        L_PDA = L_intra(I^s, P^t) + L_intra(P^s, I^t) + L_inter(I^s, P^t) + L_inter(P^s, I^t)

    Instances are all samples of the batch, reliable or not; prototypes are constants. A domain without any
    valid prototype contributes nothing. `plain` is MMD without margin, `hinge` max(0, MMD − margin).

    Differs from the paper: it writes the inter term as max(|·|), here the sum over pairs.
    """
    source_prototypes, target_prototypes = jax.lax.stop_gradient((source_prototypes, target_prototypes))
    to_target = _pairwise_discrepancy(source, target_prototypes, y_valid=target_valid, kernel=kernel)
    to_source = _pairwise_discrepancy(target, source_prototypes, y_valid=source_valid, kernel=kernel)
    same = jnp.eye(source.shape[0], dtype=bool)
    intra, crossed = jnp.zeros(()), jnp.zeros(())
    for discrepancy, valid in ((to_target, target_valid), (to_source, source_valid)):
        intra += jnp.where(valid.any(), jnp.sum(discrepancy, where=same), 0.0)
        penalty = _inter_penalty(discrepancy, margin=margin, form=inter)
        crossed += jnp.where(valid.any(), jnp.sum(penalty, where=~same), 0.0)
    return {"intra": intra, "inter": crossed}


def maximum_mean_discrepancy(
    x: Float[Array, "B D"],
    y: Float[Array, "C D"],
    *,
    x_valid: Bool[Array, " B"] | None = None,
    y_valid: Bool[Array, " C"] | None = None,
    kernel: Kernel = "fixed",
) -> Float[Array, ""]:
    """Squared, biased MMD (Eq. 12, 13).

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


def gaussian_kernel(d2: Float[Array, "B C"], bandwidth: Float[Array, ""] | None) -> Float[Array, "B C"]:
    """exp(−d²/2), or, given a bandwidth b, the mean of exp(−d² / (b·2^i)) over i = −2 … 2."""
    if bandwidth is None:
        return jnp.exp(-d2 / 2.0)
    scales = [bandwidth * 2.0 ** (i - NUM_KERNELS // 2) for i in range(NUM_KERNELS)]
    return sum((jnp.exp(-d2 / scale) for scale in scales), start=jnp.zeros_like(d2)) / NUM_KERNELS


def _mean_bandwidth(pairs, num_rows) -> Float[Array, ""]:
    (xx, xx_mask), (yy, yy_mask), (xy, xy_mask) = pairs
    total = jnp.sum(xx, where=xx_mask) + jnp.sum(yy, where=yy_mask) + 2.0 * jnp.sum(xy, where=xy_mask)
    mean = total / jnp.maximum(num_rows * (num_rows - 1), 1)
    # Rows nearer than this to one another differ by rounding only, which a smaller bandwidth would magnify.
    return jax.lax.stop_gradient(jnp.maximum(mean, SMALLEST_BANDWIDTH))


def _pairwise_discrepancy(x, y, *, y_valid, kernel: Kernel) -> Float[Array, "M M"]:
    """Entry (i, j) = MMD(x of modality i, y of modality j)."""

    def of_pair(x_row, y_row):
        return maximum_mean_discrepancy(x_row, y_row, y_valid=y_valid, kernel=kernel)

    return jax.vmap(lambda x_row: jax.vmap(lambda y_row: of_pair(x_row, y_row))(y))(x)


def _inter_penalty(discrepancy: Float[Array, "M M"], *, margin: float, form: Inter) -> Float[Array, "M M"]:
    match form:
        case "margin":
            return jnp.abs(margin - discrepancy)
        case "plain":
            return discrepancy
        case "hinge":
            return jnp.maximum(0.0, discrepancy - margin)
    raise ValueError(f"inter is {form!r}; choose margin, plain or hinge")
