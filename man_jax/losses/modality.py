"""MMA: margin-preserving modality distribution alignment (Eq. 17–20)."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from man_jax.array_math import unit

Distance = Literal["squared", "cosine"]
Reduction = Literal["sum", "max"]
Pairing = Literal["different", "equal"]


def modality_margin_loss(
    source_instances: Float[Array, "M B D"],
    target_instances: Float[Array, "M B D"],
    source_prototypes: Float[Array, "M C D"],
    target_prototypes: Float[Array, "M K D"],
    *,
    source_valid: Bool[Array, " C"],
    target_valid: Bool[Array, " K"],
    margin: float = 0.5,
    distance: Distance = "squared",
    reduction: Reduction = "sum",
    pairing: Pairing = "different",
) -> Float[Array, ""]:
    """Compute L_MMA = L_uma(t, s) + L_uma(s, t); L_uma(t, s) = Dist(I^t, I^t) + Dist(P^s, P^s) + Dist(I^t, P^s).

    Dist(X, X) is over the 3 unordered pairs of modalities, Dist(X, Y) over the 6 ordered ones, of
    |margin − d(C_X,Mi, C_Y,Mj)| (Eq. 17–20). Prototypes are constants, so Dist(P, P) has no gradient: it is
    part of the value only. Terms of a domain without any valid prototype are 0.

    Differs from the paper: it writes max(|·|) over pairs, which is `reduction="max"`; d is its L2 option.
    `pairing="equal"` is the released code's Dist(X, Y), over the 3 pairs of one modality in both sets.
    """
    source_prototypes, target_prototypes = jax.lax.stop_gradient((source_prototypes, target_prototypes))
    kinds: Any = {"margin": margin, "distance": distance, "reduction": reduction, "pairing": pairing}
    to_source = modality_margins(target_instances, source_prototypes, source_valid, **kinds)
    return to_source + modality_margins(source_instances, target_prototypes, target_valid, **kinds)


def modality_margins(
    instances: Float[Array, "M B D"],
    prototypes: Float[Array, "M C D"],
    valid: Bool[Array, " C"],
    *,
    margin: float,
    distance: Distance,
    reduction: Reduction,
    pairing: Pairing,
) -> Float[Array, ""]:
    """Compute L_uma = Dist(I, I) + Dist(P, P) + Dist(I, P) of one domain's instances and the other's prototypes.

    The gradient passes through both; `modality_margin_loss` makes the prototypes constant.
    """
    of_instances = modality_centres(instances)
    of_prototypes = modality_centres(prototypes, valid=valid)
    kinds = {"margin": margin, "distance": distance, "reduction": reduction}
    within_prototypes = _within(of_prototypes, **kinds)
    across = _across(of_instances, of_prototypes, pairing=pairing, **kinds)
    return _within(of_instances, **kinds) + jnp.where(valid.any(), within_prototypes + across, 0.0)


def modality_centres(
    rows: Float[Array, "M N D"], *, valid: Bool[Array, " N"] | None = None
) -> Float[Array, "M D"]:
    """Compute the mean of each modality's valid rows (Eq. 17); zero if there are none."""
    valid = jnp.ones(rows.shape[1], bool) if valid is None else valid
    return jnp.sum(rows, axis=1, where=valid[None, :, None]) / jnp.maximum(valid.sum(), 1)


def _within(centres, *, margin, distance, reduction) -> Float[Array, ""]:
    """Compute Dist(X, X) over the pairs Mi < Mj of one set."""
    pairs = jnp.triu(jnp.ones((centres.shape[0],) * 2, bool), k=1)
    return _reduce(_margin_gaps(centres, centres, margin, distance), pairs, reduction)


def _across(x_centres, y_centres, *, margin, distance, reduction, pairing: Pairing) -> Float[Array, ""]:
    """Compute Dist(X, Y) over the ordered pairs Mi ≠ Mj of two sets, or over those with Mi = Mj."""
    if pairing not in ("different", "equal"):
        raise ValueError(f"pairing is {pairing!r}; choose different or equal")
    equal = jnp.eye(x_centres.shape[0], dtype=bool)
    pairs = equal if pairing == "equal" else ~equal
    return _reduce(_margin_gaps(x_centres, y_centres, margin, distance), pairs, reduction)


def _margin_gaps(x_centres, y_centres, margin: float, distance: Distance) -> Float[Array, "M M"]:
    """Compute |margin − d(x_i, y_j)| for all pairs of modalities (Eq. 18)."""
    if distance == "squared":
        d = jnp.sum((x_centres[:, None] - y_centres[None, :]) ** 2, axis=-1)
    elif distance == "cosine":
        d = 1.0 - unit(x_centres) @ unit(y_centres).T
    else:
        raise ValueError(f"distance is {distance!r}; choose squared or cosine")
    return jnp.abs(margin - d)


def _reduce(gaps: Float[Array, "M M"], pairs: Bool[Array, "M M"], reduction: Reduction) -> Float[Array, ""]:
    if reduction == "sum":
        return jnp.sum(gaps, where=pairs)
    if reduction == "max":
        return jnp.max(gaps, where=pairs, initial=0.0)
    raise ValueError(f"reduction is {reduction!r}; choose sum or max")
