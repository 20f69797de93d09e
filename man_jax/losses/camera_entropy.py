"""Weigh the clusters of a batch by how many cameras they are seen in.

Source: Zheng et al., "3C: confidence-guided clustering and contrastive learning for unsupervised person
re-identification", arXiv 2408.09464, 2024.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from man_jax.losses.contrastive import info_nce


def camera_entropy_weights(
    labels: Int[Array, " B"], cameras: Int[Array, " B"], *, mask: Bool[Array, " B"]
) -> Float[Array, " B"]:
    """Compute the weight of each row's cluster by the entropy of its cameras in the batch (CIE).

        w_k = n exp(H_k) / Σ_l exp(H_l),   H_k = −Σ_c p(c|k) log2 p(c|k)

    p(c|k) is the share of camera c among the batch's rows of cluster k, and l are the n clusters of the batch, so the
    mean weight of a cluster is 1. Rows masked out take no part and have the weight 0.

    Differs from the source: rows may be masked out.
    """
    same = (labels[:, None] == labels[None, :]) & mask[:, None] & mask[None, :]
    together = same & (cameras[:, None] == cameras[None, :])
    size = jnp.maximum(same.sum(axis=1), 1)
    share = jnp.maximum(together.sum(axis=1), 1) / size
    entropy = -jnp.sum(jnp.where(same, jnp.log2(share)[None, :], 0.0), axis=1) / size
    once = jnp.where(mask, 1.0 / size, 0.0)  # sums to 1 over the rows of a cluster
    diversity = jnp.exp(entropy)
    mean = jnp.sum(once * diversity) / jnp.maximum(jnp.sum(once), 1e-12)
    return jnp.where(mask, diversity / jnp.maximum(mean, 1e-12), 0.0)


def camera_weighted_contrast(
    features: Float[Array, "B D"],
    centres: Float[Array, "C D"],
    labels: Int[Array, " B"],
    cameras: Int[Array, " B"],
    *,
    exists: Bool[Array, " C"],
    weight: Float[Array, " B"],
    temperature: float,
) -> Float[Array, ""]:
    """Compare each feature with the centres of all classes (InfoNCE), its value times its cluster's CIE weight.

        Σ_i v_i w_{y_i} InfoNCE_i / Σ_i v_i,   v the rows' own weights

    Who takes part: as in `info_nce`.

    Differs from the source: classes may be missing and rows may have weights.
    """
    own = jnp.clip(labels, 0, centres.shape[0] - 1)
    takes_part = (own == labels) & exists[own] & (weight > 0)
    counted = jnp.where(takes_part, weight, 0.0)
    weighted = counted * camera_entropy_weights(labels, cameras, mask=takes_part)
    mean = info_nce(features, centres, labels, exists=exists, weight=weighted, temperature=temperature)
    return mean * weighted.sum() / jnp.where(takes_part.any(), counted.sum(), 1.0)
