"""Compare features with a memory of class centres by a contrastive loss."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from man_jax.losses.weighted import weighted_mean


def info_nce(
    features: Float[Array, "B D"],
    centres: Float[Array, "C D"],
    labels: Int[Array, " B"],
    *,
    exists: Bool[Array, " C"] | None = None,
    weight: Float[Array, " B"] | None = None,
    temperature: float = 0.05,
) -> Float[Array, ""]:
    """Compare each feature with the centres of all classes (InfoNCE), weighted mean over the batch.

        −log exp(f·c_y / τ) / Σ_k exp(f·c_k / τ),   k over the classes that exist

    Features and centres are unit vectors. The centres are constant. Rows of weight 0, and rows whose label is no
    class that exists (an outlier's −1, say), take no part; without any other row the loss is 0.

    Source: Dai et al., "Cluster contrast for unsupervised person re-identification", ACCV 2022.
    Differs from the source: classes may be missing and rows may have weights; the centres move elsewhere
    (memories/centres.py), after the loss and not within its gradient.
    """
    num_classes = centres.shape[0]
    exists = jnp.ones(num_classes, bool) if exists is None else exists
    weight = jnp.ones(labels.shape[0], features.dtype) if weight is None else weight
    centres = jax.lax.stop_gradient(jnp.where(exists[:, None], centres, 0.0))
    own = jnp.clip(labels, 0, num_classes - 1)
    takes_part = (own == labels) & exists[own]
    # If no class exists, no row takes part. The softmax is then over all classes, because over none it is NaN.
    among = (exists | ~exists.any())[None, :]
    log_probability = jax.nn.log_softmax(features @ centres.T / temperature, where=among)
    loss = -jnp.take_along_axis(log_probability, own[:, None], axis=1)[:, 0]
    return weighted_mean(loss, jnp.where(takes_part, weight, 0.0))
