"""Losses in which the weight of a sample scales what is learnt of it, and not only its share of a mean.

Source: Tang et al., "Doubly stochastic subdomain mining with sample reweighting for unsupervised domain adaptive person
re-identification", AI Communications 2024.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from man_jax.array_math import unit
from man_jax.losses.hardest import find_hardest


def reweighted_mean(x: Float[Array, " B"], weight: Float[Array, " B"]) -> Float[Array, ""]:
    """Average values that are multiplied by their weights, over the rows that have a weight.

        Σ w x / number of w > 0;   0 if all weights are 0

    Twice the weights are twice the mean. A value of weight 0 may be infinite.

    Differs from the source: rows of weight 0, which it has not, are not counted.
    """
    total = jnp.sum(weight * jnp.where(weight > 0, x, 0.0))
    return total / jnp.maximum(jnp.sum(weight > 0), 1)


def reweighted_triplet(
    features: Float[Array, "B D"],
    labels: Int[Array, " B"],
    *,
    weight: Float[Array, " B"],
    margin: float = 0.3,
) -> Float[Array, ""]:
    """Compute the batch-hard triplet loss of unit features, each triplet with the weights of its three samples.

        mean over anchors of (2 w_a + w_p + w_n) / 4 · max(0, d_p − d_n + margin)

    d_p is the Euclidean distance to the farthest other row of the same label, d_n to the nearest row of another.
    Rows of weight 0 or with a label below 0 take no part; anchors without a positive or a negative are left out of the
    mean; without any anchor the loss is 0.

    Differs from the source: there an anchor is its own positive where it has no other, and an anchor without a
    negative counts.
    """
    triplets = find_hardest(unit(features), labels, weight)
    of_others = weight[triplets.rows].sum(axis=1)
    ensemble = jnp.where(triplets.weight > 0, (2.0 * weight + of_others) / 4.0, 0.0)
    hinge = jnp.maximum(0.0, triplets.distances[:, 0] - triplets.distances[:, 1] + margin)
    return reweighted_mean(hinge, ensemble)
