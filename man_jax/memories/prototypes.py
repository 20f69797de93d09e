"""Prototypes of the classes of a domain, and the bank that keeps them up to date (Eq. 7–11)."""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from man_jax.array_math import unit
from man_jax.layout import WHOLE, Layout, extended
from man_jax.memories.divided_prototypes import move_rows, streamed_prototypes

Weights = Literal["softmax", "average"]
MovingForm = Literal["batch_mean", "sequential"]


class Bank(NamedTuple):
    """The prototypes V of one domain (Eq. 9, 10). A class is invalid while it has no (reliable) sample.

    There are P ≥ C rows: where they are divided among devices, rows of zeros make their number divisible.
    """

    modal: Float[Array, "M P D"]
    fused: Float[Array, "P F"]
    valid: Bool[Array, " C"]

    @property
    def valid_rows(self) -> Bool[Array, " P"]:
        """Whether each row is a class that is valid."""
        return extended(self.valid, self.fused.shape[0], False)


def empty_bank(*, num_classes: int, num_modalities: int, dim: int, layout: Layout = WHOLE) -> Bank:
    """Create a bank in which no class is valid yet."""
    num_rows = layout.padded(num_classes)
    return Bank(
        modal=layout.divided(jnp.zeros((num_modalities, num_rows, dim)), axis=1),
        fused=layout.divided(jnp.zeros((num_rows, num_modalities * dim))),
        valid=jnp.zeros(num_classes, bool),
    )


def class_prototypes(
    features: Float[Array, "N D"],
    labels: Int[Array, " N"],
    *,
    num_classes: int,
    mask: Bool[Array, " N"] | None = None,
    weights: Weights = "softmax",
    temperature: float = 1.0,
) -> tuple[Float[Array, "C D"], Bool[Array, " C"]]:
    """Compute the weighted class centres (Eq. 7, 8).

        w_j = softmax over the class of cos(f_j, centre) / τ,   P = Unit(Σ_j w_j f_j)

    with centre the mean of the class. `average` is Table 6's other row, Unit(centre). Rows masked
    out or with a label that is no class's take no part; a class without rows is invalid and its prototype is zero.

    Differs from the paper: its factor 1/c vanishes under Unit; τ = 1 there.
    """
    member = jax.nn.one_hot(labels, num_classes, dtype=features.dtype)  # a label of no class gives a zero row
    if mask is not None:
        member = member * mask[:, None]
    counts = member.sum(axis=0)
    valid = counts > 0
    centres = (member.T @ features) / jnp.maximum(counts, 1.0)[:, None]
    if weights == "average":
        return unit(centres), valid
    if weights != "softmax":
        raise ValueError(f"weights is {weights!r}; choose softmax or average")
    own = jnp.clip(labels, 0, num_classes - 1)
    cosine = jnp.sum(unit(features) * unit(centres[own]), axis=1)
    # Relative to the largest of the class, because exp(cos/τ) is 0 or infinite for a small τ.
    largest = jnp.max(cosine[:, None], axis=0, where=member > 0, initial=-1.0)
    behind = jnp.where(member.any(axis=1), cosine - jax.lax.stop_gradient(largest)[own], 0.0)
    weighted = member * jnp.exp(behind / temperature)[:, None]
    return unit(weighted.T @ features), valid


# Jitted here and not in make_bank, because jitting again in each epoch would compile again in each epoch.
_compiled_prototypes = jax.jit(class_prototypes, static_argnames=("num_classes", "weights", "temperature"))


def make_bank(
    modal: Float[np.ndarray, "M N D"],
    fused: Float[np.ndarray, "N F"],
    labels: Int[np.ndarray, " N"],
    *,
    num_classes: int,
    mask: Bool[np.ndarray, " N"],
    weights: Weights,
    temperature: float,
    layout: Layout = WHOLE,
) -> Bank:
    """Build the prototypes of one domain at the start of an epoch (Eq. 7–10) from Unit features."""
    if layout.is_divided:
        streamed = partial(
            streamed_prototypes,
            labels=labels,
            num_classes=num_classes,
            mask=mask,
            weights=weights,
            temperature=temperature,
            layout=layout,
        )
        of_fusion, has_rows = streamed(fused)
        return Bank(_stacked([streamed(rows)[0] for rows in modal], layout), of_fusion, jnp.asarray(has_rows))
    prototypes = partial(
        _compiled_prototypes, num_classes=num_classes, weights=weights, temperature=temperature
    )

    def of_modality(rows):
        return prototypes(rows, labels, mask=mask)

    modal_values, valid = jax.vmap(of_modality)(modal)
    return Bank(modal=modal_values, fused=prototypes(fused, labels, mask=mask)[0], valid=valid[0])


@partial(jax.jit, static_argnums=1)
def _stacked(rows: list[Float[Array, "P D"]], layout: Layout) -> Float[Array, "M P D"]:
    return layout.divided(jnp.stack(rows), axis=1)


def move_bank(
    bank: Bank,
    modal: Float[Array, "M B D"],
    fused: Float[Array, "B F"],
    labels: Int[Array, " B"],
    *,
    mask: Bool[Array, " B"],
    momentum: float,
    form: MovingForm,
    layout: Layout = WHOLE,
) -> Bank:
    """Move the prototypes of all modalities and of the fusion (Eq. 11); rows masked out move nothing."""
    move_each = partial(move_rows, layout=layout) if layout.is_divided else move_prototypes

    def move(values, rows):
        return move_each(values, bank.valid, rows, labels, mask=mask, momentum=momentum, form=form)

    return bank._replace(modal=jax.vmap(move)(bank.modal, modal), fused=move(bank.fused, fused))


def move_prototypes(
    values: Float[Array, "C D"],
    valid: Bool[Array, " C"],
    features: Float[Array, "B D"],
    labels: Int[Array, " B"],
    *,
    mask: Bool[Array, " B"] | None = None,
    momentum: float | Float[Array, ""] = 0.99,
    form: MovingForm = "batch_mean",
) -> Float[Array, "C D"]:
    """Move the prototypes towards the batch's features (Eq. 11).

        V_i ← Unit(λ V_i + (1 − λ) f̄_i),   f̄_i = mean of the batch's features of class i

    `sequential` applies the same step once an instance, in the order of the batch. Classes that are invalid
    or not in the batch stay as they are. The gradient passes through the move; the caller decides
    whether to use it (only Proto-Proto of Table 5 does).

    Differs from the paper: it leaves open how several instances of a class in a batch combine; the mean
    does not depend on their order, hence not on how a batch is sharded.
    """
    member = (labels >= 0) & (labels < values.shape[0])
    member = member if mask is None else member & mask
    if form == "batch_mean":
        owner = jax.nn.one_hot(labels, values.shape[0], dtype=values.dtype) * member[:, None]
        counts = owner.sum(axis=0)
        mean = (owner.T @ features) / jnp.maximum(counts, 1.0)[:, None]
        moved = unit(momentum * values + (1.0 - momentum) * mean)
        return jnp.where(((counts > 0) & valid)[:, None], moved, values)
    if form != "sequential":
        raise ValueError(f"form is {form!r}; choose batch_mean or sequential")

    def move(values, instance):
        feature, label, is_member = instance
        moved = unit(momentum * values[label] + (1.0 - momentum) * feature)
        return values.at[label].set(jnp.where(is_member & valid[label], moved, values[label])), None

    return jax.lax.scan(move, values, (features, jnp.clip(labels, 0, values.shape[0] - 1), member))[0]
