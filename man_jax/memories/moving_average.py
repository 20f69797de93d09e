"""The mean teacher: a network whose parameters are a moving average of its student's."""

from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

Tree = TypeVar("Tree")


def moving_average(teacher: Tree, student: Tree, *, step: int | Int[Array, ""], alpha: float = 0.999) -> Tree:
    """Move the teacher's arrays towards the student's.

        teacher ← a teacher + (1 − a) student,   a = min(1 − 1 / (step + 1), α)

    `step` counts the updates from 0, so the first one makes the teacher the student, and the average is a plain mean
    until a reaches α. The two are trees of the same structure: parameters, or parameters and batch statistics. Leaves
    that hold no real numbers (counters, say) are copied from the student; each leaf keeps its type.

    Source: Tarvainen & Valpola, "Mean teachers are better role models", NeurIPS 2017; Ge et al., "Mutual
    mean-teaching", ICLR 2020.
    Differs from the source: the codes average the parameters alone and let the teacher collect batch statistics of its
    own; here the caller decides which of them the tree holds.
    """
    kept = jnp.minimum(1.0 - 1.0 / (jnp.asarray(step) + 1), alpha)

    def move(old: Array, new: Array) -> Array:
        if not jnp.issubdtype(new.dtype, jnp.floating):
            return new
        return (kept * old + (1.0 - kept) * new).astype(old.dtype)

    return jax.tree.map(move, teacher, student)
