"""Normalise part features by BNNecks of their own, one for each part and modality."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from man_jax.networks.batch_norm import BatchNorm
from man_jax.networks.three_branch import Features, Variables


def necks_like(network: Variables, *, num_parts: int) -> Variables:
    """Make the variables of P parts' necks from those of a network's necks, so that they begin as trained ones.

    The channels [P · M · D] of all parts are side by side, because a BNNeck treats each by itself.
    """

    def repeated(leaf: Float[Array, "M D"]) -> Float[Array, " PMD"]:
        return jnp.tile(leaf.reshape(-1), num_parts)

    necks = {name: network[name]["branches"]["neck"] for name in ("params", "batch_stats")}
    return {name: {key: repeated(leaf) for key, leaf in neck.items()} for name, neck in necks.items()}


def norm_parts(
    variables: Variables, stripes: Float[Array, "P M B D"], *, train: bool
) -> tuple[tuple[Features, ...], Variables]:
    """Give the features of each part before and after its neck, and the necks' statistics, updated if `train`."""
    num_parts, num_modalities, num_rows, dim = stripes.shape
    rows = jnp.moveaxis(stripes, 2, 0).reshape(num_rows, -1)
    neck = BatchNorm(use_running_average=not train, use_bias=False)
    updated: Any
    normed, updated = neck.apply(variables, rows, mutable=["batch_stats"])
    normed = jnp.moveaxis(normed.reshape(num_rows, num_parts, num_modalities, dim), 0, 2)
    return tuple(map(Features, stripes, normed)), updated["batch_stats"]


def part_rows(variables: Variables, stripes: Float[np.ndarray, "P M N D"]) -> list[Float[np.ndarray, "N F"]]:
    """Give the fused unit features of each part of a table after its neck, by the running statistics."""
    parts, _ = norm_parts(variables, jnp.asarray(stripes), train=False)
    return [np.asarray(part.fused_unit) for part in parts]
