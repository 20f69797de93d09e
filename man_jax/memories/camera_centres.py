"""A memory of cluster centres that moves by the most informative sample of all cameras of a batch.

Source: Zheng et al., "3C: confidence-guided clustering and contrastive learning for unsupervised person
re-identification", arXiv 2408.09464, 2024.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from man_jax.array_math import unit


def confident_discrepancies(
    values: Float[Array, "C D"],
    features: Float[Array, "B D"],
    labels: Int[Array, " B"],
    cameras: Int[Array, " B"],
    *,
    mask: Bool[Array, " B"],
) -> Float[Array, " B"]:
    """Compute how informative each row is for its class (CHD).

        CHD = a b / (a + b),   a = 1 + f·g: the confidence,   b = 1 − f·c_y: the discrepancy

    g is the unit mean of the batch's rows of the same class in the same camera. So a row is informative if it is far
    from its class's centre and near to what its camera shows of the class. Rows masked out are in no mean.

    Differs from the source: rows may be masked out.
    """
    together = (labels[:, None] == labels[None, :]) & (cameras[:, None] == cameras[None, :]) & mask[None, :]
    groups = unit(together.astype(features.dtype) @ features)
    own = values[jnp.clip(labels, 0, values.shape[0] - 1)]
    confidence = 1.0 + jnp.sum(features * groups, axis=1)
    discrepancy = 1.0 - jnp.sum(features * own, axis=1)
    return confidence * discrepancy / jnp.maximum(confidence + discrepancy, 1e-12)


def update_by_discrepancy(
    values: Float[Array, "C D"],
    features: Float[Array, "B D"],
    labels: Int[Array, " B"],
    cameras: Int[Array, " B"],
    *,
    exists: Bool[Array, " C"],
    weight: Float[Array, " B"],
    momentum: float,
) -> Float[Array, "C D"]:
    """Move the centre of each class of the batch towards the row of the largest CHD; no gradient passes.

        c_y ← Unit(m c_y + (1 − m) f),   m the momentum

    Classes that do not exist or are not in the batch stay as they are; rows of weight 0 or with a label of no class
    take no part. Of equal rows the first is taken.

    Differs from the source: rows may be left out; a centre that a step moves to 0 becomes 0, not NaN.
    """
    features, takes_part = jax.lax.stop_gradient(features), weight > 0
    member = (labels[None, :] == jnp.arange(values.shape[0])[:, None]) & takes_part[None, :]
    informative = confident_discrepancies(values, features, labels, cameras, mask=takes_part)
    chosen = jnp.argmax(jnp.where(member, informative[None, :], -jnp.inf), axis=1)
    moved = unit(momentum * values + (1.0 - momentum) * features[chosen])
    return jnp.where((exists & member.any(axis=1))[:, None], moved, values)
