"""A memory of cluster centres: one unit vector for each cluster.

Source: Dai et al., "Cluster contrast for unsupervised person re-identification", ACCV 2022.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from man_jax.array_math import unit
from man_jax.memories.prototypes import class_prototypes, move_prototypes

CentreForm = Literal["sequential", "hard"]


# An epoch begins with this outside any step: operation by operation it would be a dozen programs of each shape.
@partial(jax.jit, static_argnames="num_classes")
def cluster_centres(
    features: Float[Array, "N D"], labels: Int[Array, " N"], *, num_classes: int
) -> tuple[Float[Array, "C D"], Bool[Array, " C"]]:
    """Average the features of each cluster: the unit centres, and which clusters exist.

        c_k = Unit(mean of f_j, j in cluster k)

    Rows whose label is no class (an outlier's −1, say) take no part; a class without rows does not exist and its
    centre is zero.

    Differs from the source: nothing; it is memories/prototypes.py's class_prototypes with equal weights.
    """
    return class_prototypes(features, labels, num_classes=num_classes, weights="average")


def update_centres(
    values: Float[Array, "C D"],
    features: Float[Array, "B D"],
    labels: Int[Array, " B"],
    *,
    exists: Bool[Array, " C"] | None = None,
    weight: Float[Array, " B"] | None = None,
    momentum: float | Float[Array, ""] = 0.1,
    form: CentreForm = "sequential",
) -> Float[Array, "C D"]:
    """Move the centres of the batch's classes towards the batch's unit features; no gradient passes.

        c_y ← Unit(m c_y + (1 − m) f),   m the momentum

    `sequential` makes the step once an instance, in the order of the batch (the source's CM; it is
    memories/prototypes.py's move_prototypes). `hard` makes it once a class, with the instance of the class that is
    least like its centre, f·c smallest, the first of equal ones (CM_Hard). Classes that do not exist or are not in
    the batch stay as they are; rows of weight 0 or with a label of no class take no part.

    A row's weight says only whether it takes part, because the momentum gives the length of a step. The loss reads the
    centres as they were before the move.

    Raises ValueError for another form.

    Differs from the source: rows may be left out; a centre that a step moves to 0 becomes 0, not NaN.
    """
    num_classes = values.shape[0]
    exists = jnp.ones(num_classes, bool) if exists is None else exists
    takes_part = jnp.ones(labels.shape[0], bool) if weight is None else weight > 0
    features = jax.lax.stop_gradient(features)
    if form == "sequential":
        return move_prototypes(
            values, exists, features, labels, mask=takes_part, momentum=momentum, form="sequential"
        )
    if form != "hard":
        raise ValueError(f"form is {form!r}; choose sequential or hard")
    member = (labels[None, :] == jnp.arange(num_classes)[:, None]) & takes_part[None, :]
    hardest = jnp.argmin(jnp.where(member, values @ features.T, jnp.inf), axis=1)
    moved = unit(momentum * values + (1.0 - momentum) * features[hardest])
    return jnp.where((exists & member.any(axis=1))[:, None], moved, values)
