"""Forget what an optimiser remembers of past gradients, for a network that begins anew."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

KINDS = (optax.ScaleByAdamState, optax.TraceState)


def forget_moments(opt_state: Any) -> Any:
    """Set the moments of Adam, with the count that corrects their bias, or the momentum of SGD to zero.

    The schedule of the learning rate goes on, because it has a count of its own.
    """

    def forget(part: Any) -> Any:
        return jax.tree.map(jnp.zeros_like, part) if isinstance(part, KINDS) else part

    return jax.tree.map(forget, opt_state, is_leaf=lambda part: isinstance(part, KINDS))
