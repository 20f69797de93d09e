"""Change the columns of the heads that belong to target clusters; those of source identities stay."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from man_jax.layout import WHOLE, Layout

ColumnNorm = Literal["matched", "unit"]


def set_columns(
    heads: dict[str, Any],
    modal: Float[Array, "M P D"],
    fused: Float[Array, "P F"],
    *,
    first: int,
    valid: Bool[Array, " K"],
    norm: ColumnNorm = "matched",
    layout: Layout = WHOLE,
) -> dict[str, Any]:
    """Give the heads' columns from `first` on the direction of the valid rows; other columns stay as they are.

    `matched` gives them the mean norm of the columns before `first`. `unit` gives them the norm 1; learnt columns have
    another norm, so one domain's classes then outweigh the other's. Rows beyond the K columns are left out; a layout
    that divides them divides the heads by the features' numbers.
    """
    rows = {"modal": modal, "fused": fused}

    def replaced(name: str, kernel: Float[Array, "... D L"]):
        columns = layout.divided(jnp.swapaxes(rows[name], -1, -2), axis=-2)[..., : valid.shape[0]]
        if norm == "matched":
            norms = jnp.linalg.norm(kernel[..., :first], axis=-2, keepdims=True)
            columns = columns * jnp.mean(norms, axis=-1, keepdims=True)
        kept = kernel[..., first:]
        return kernel.at[..., first:].set(jnp.where(valid, columns, kept))

    return {name: {"kernel": replaced(name, head["kernel"])} for name, head in heads.items()}


def put_columns(
    kernel: Float[Array, "*M D L"],
    rows: Float[Array, "*M K D"],
    *,
    first: int,
    valid: Bool[Array, " K"],
) -> Float[Array, "*M D L"]:
    """Make the K columns of one head's kernel from `first` on the valid rows themselves; other columns stay."""
    columns = jnp.swapaxes(rows, -1, -2)
    there = slice(first, first + columns.shape[-1])
    return kernel.at[..., there].set(jnp.where(valid, columns, kernel[..., there]))


def forget_columns(opt_state: Any, *, first: int, renewed: Bool[Array, " K"] | None = None) -> Any:
    """Set the optimiser's moments of the heads' columns from `first` on to zero, of all or of the renewed ones."""

    def forget(path, leaf):
        if "heads" not in [getattr(entry, "key", None) for entry in path]:
            return leaf
        forgotten = 0.0 if renewed is None else jnp.where(renewed, 0.0, leaf[..., first:])
        return leaf.at[..., first:].set(forgotten)

    return jax.tree_util.tree_map_with_path(forget, opt_state)
