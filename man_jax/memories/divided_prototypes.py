"""Prototypes of so many classes that they are divided among the devices: no array here has N × C or B × C numbers.

The formulas are those of memories/prototypes.py; sums are added in another order.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from man_jax.array_math import unit
from man_jax.layout import Layout

ROWS_AT_ONCE = 8192
"""How many features of an epoch's table are on the devices at a time."""


def streamed_prototypes(
    features: Float[np.ndarray, "N D"],
    labels: Int[np.ndarray, " N"],
    *,
    num_classes: int,
    mask: Bool[np.ndarray, " N"],
    weights: str,
    temperature: float,
    layout: Layout,
) -> tuple[Float[Array, "P D"], Bool[np.ndarray, " C"]]:
    """Compute the class centres of Eq. 7 and 8 from rows that are read a few at a time; they may be in a file.

    Returns P prototypes, the C classes and zeros that make their number divisible, and which classes have rows.

    Raises:
        ValueError: `weights` is neither softmax nor average.
    """
    if weights not in ("softmax", "average"):
        raise ValueError(f"weights is {weights!r}; choose softmax or average")
    member = np.asarray(mask) & (labels >= 0) & (labels < num_classes)
    num_rows = layout.padded(num_classes)
    owner = np.where(member, labels, num_rows).astype(np.int32)
    counts = np.bincount(labels[member], minlength=num_classes)
    read = partial(_blocks, features, owner, layout=layout)
    blank = partial(_blank, num_rows, features.shape[1], features.dtype, layout)
    ones = np.ones(len(owner), features.dtype)
    sums = blank()
    for rows, owners, each in read(ones):
        sums = _add(sums, rows, owners, each, layout=layout)
    if weights == "average":
        return _units(sums, layout=layout), counts > 0
    similar = [np.asarray(_cosines(sums, rows, owners, layout=layout)) for rows, owners, _ in read(ones)]
    cosine = np.concatenate(similar)[: len(owner)]
    largest = np.full(num_classes, -1.0, features.dtype)
    np.maximum.at(largest, labels[member], cosine[member])
    share = np.zeros_like(cosine)
    share[member] = np.exp((cosine[member] - largest[labels[member]]) / temperature)
    sums = blank()
    for rows, owners, each in read(share):
        sums = _add(sums, rows, owners, each, layout=layout)
    return _units(sums, layout=layout), counts > 0


def move_rows(
    values: Float[Array, "P D"],
    valid: Bool[Array, " C"],
    features: Float[Array, "B D"],
    labels: Int[Array, " B"],
    *,
    mask: Bool[Array, " B"],
    momentum: float | Float[Array, ""],
    form: str,
    layout: Layout,
) -> Float[Array, "P D"]:
    """Move prototypes as `move_prototypes` does, but read and write only those of the batch's classes.

    Raises:
        ValueError: `form` is neither batch_mean nor sequential.
    """
    features, labels, mask = (layout.everywhere(each) for each in (features, labels, mask))
    within = jnp.clip(labels, 0, valid.shape[0] - 1)
    member = mask & (labels == within)
    takes_part = member & valid[within]
    old = layout.everywhere(values[within])
    same = (labels[:, None] == labels[None, :]) & member[None, :]
    first = jnp.argmax(same, axis=1)
    if form == "batch_mean":
        owner = same.astype(values.dtype)
        mean = (owner @ features) / jnp.maximum(owner.sum(axis=1), 1.0)[:, None]
        moved = unit(momentum * old + (1.0 - momentum) * mean)
    elif form == "sequential":

        def move(rows, instance):
            feature, place, is_moved = instance
            new = unit(momentum * rows[place] + (1.0 - momentum) * feature)
            return rows.at[place].set(jnp.where(is_moved, new, rows[place])), None

        moved = jax.lax.scan(move, old, (features, first, takes_part))[0]
    else:
        raise ValueError(f"form is {form!r}; choose batch_mean or sequential")
    # The first row of a class writes its prototype; the others go past the end.
    is_first = takes_part & (first == jnp.arange(labels.shape[0]))
    place = jnp.where(is_first, labels, values.shape[0])
    return layout.divided(values.at[place].set(layout.everywhere(moved), mode="drop"))


def _blocks(features, owner, weight, *, layout: Layout):
    """Put a few rows at a time on the devices, with the place and the weight of each; padding has no place."""
    size = layout.padded(min(ROWS_AT_ONCE, len(features)))
    for start in range(0, len(features), size):
        rows = np.asarray(features[start : start + size])
        missing = size - len(rows)
        # A row without a place is left out, whatever place is past the end.
        places = np.pad(owner[start : start + size], (0, missing), constant_values=np.iinfo(np.int32).max)
        yield (
            layout.put_rows(np.pad(rows, ((0, missing), (0, 0)))),
            layout.put_rows(places),
            layout.put_rows(np.pad(weight[start : start + size], (0, missing))),
        )


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _blank(num_rows: int, dim: int, dtype, layout: Layout) -> Float[Array, "P D"]:
    return layout.divided(jnp.zeros((num_rows, dim), dtype))


@partial(jax.jit, static_argnames="layout", donate_argnums=0)
def _add(sums, rows, owners, weight, *, layout: Layout) -> Float[Array, "P D"]:
    rows, owners = layout.everywhere(rows * weight[:, None]), layout.everywhere(owners)
    return layout.divided(sums.at[owners].add(rows, mode="drop"))


@partial(jax.jit, static_argnames="layout")
def _cosines(sums, rows, owners, *, layout: Layout) -> Float[Array, " b"]:
    rows, owners = layout.everywhere(rows), layout.everywhere(owners)
    own = layout.everywhere(unit(sums)[jnp.clip(owners, 0, sums.shape[0] - 1)])
    return layout.everywhere(jnp.sum(unit(rows) * own, axis=1))


@partial(jax.jit, static_argnames="layout")
def _units(sums, *, layout: Layout) -> Float[Array, "P D"]:
    return layout.divided(unit(sums))
