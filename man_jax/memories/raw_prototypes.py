"""Prototypes that move by features of any length and are never brought back to unit length, as the authors' code of MAN
has them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from man_jax.memories.prototypes import Bank


def move_raw_bank(
    bank: Bank,
    modal: Float[Array, "M B D"],
    fused: Float[Array, "B F"],
    labels: Int[Array, " B"],
    *,
    mask: Bool[Array, " B"],
    momentum: float,
) -> Bank:
    """Move the prototypes of all modalities and of the fusion; rows masked out move nothing."""

    def move(values, rows):
        return move_raw_prototypes(values, bank.valid, rows, labels, mask=mask, momentum=momentum)

    return bank._replace(modal=jax.vmap(move)(bank.modal, modal), fused=move(bank.fused, fused))


def move_raw_prototypes(
    values: Float[Array, "C D"],
    valid: Bool[Array, " C"],
    features: Float[Array, "B D"],
    labels: Int[Array, " B"],
    *,
    mask: Bool[Array, " B"],
    momentum: float,
) -> Float[Array, "C D"]:
    """Move the prototypes towards the batch's features, one instance after the other, in the order of the batch.

        V_i ← λ V_i + (1 − λ) f    for each instance f of class i

    The gradient passes through all these steps. Classes that are invalid or not in the batch stay as they are.

    Differs from memories/prototypes.py's move_prototypes: V is not brought back to unit length, so f's length counts.
    """
    takes_part = mask & (labels >= 0) & (labels < values.shape[0])
    owner = jax.nn.one_hot(labels, values.shape[0], dtype=values.dtype) * takes_part[:, None]
    # All n steps of a class at once: an instance that k others of the class follow keeps the share (1 − λ) λ^k.
    counts = jnp.sum(owner, axis=0)
    later = counts[None, :] - jnp.cumsum(owner, axis=0)
    share = (1.0 - momentum) * owner * momentum**later
    moved = (momentum**counts)[:, None] * values + share.T @ features
    return jnp.where(valid[:, None], moved, values)


def sample_bank(modal: Float[Array, "M N D"], fused: Float[Array, "N F"], mask: Bool[Array, " N"]) -> Bank:
    """Put the samples where `mask` holds into the first rows of a bank of N rows; the other rows are invalid.

    A row then belongs to no class: what moves it is the class that has its number by chance.
    """
    order = jnp.argsort(~mask, stable=True)
    valid = jnp.arange(mask.shape[0]) < mask.sum()
    return Bank(
        jnp.where(valid[:, None], modal[:, order], 0.0), jnp.where(valid[:, None], fused[order], 0.0), valid
    )
