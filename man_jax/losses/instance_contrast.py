"""Compare features with a memory of single samples by a contrastive loss."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from man_jax.losses.weighted import weighted_mean


def instance_nce(
    features: Float[Array, "B D"],
    instances: Float[Array, "N D"],
    instance_labels: Int[Array, " N"],
    labels: Int[Array, " B"],
    *,
    weight: Float[Array, " B"] | None = None,
    temperature: float = 0.05,
) -> Float[Array, ""]:
    """Compare each feature with every sample of the memory, weighted mean over the batch.

        −log Σ_j∈P exp(f·v_j / τ) / Σ_j exp(f·v_j / τ),   P the samples whose label is that of the feature

    Features and instances are unit vectors. The instances are constant. Instances of label −1, in no cluster, are
    wrong answers for every feature. Rows of weight 0, of label −1 or of a label that no instance has take no part;
    without any other row the loss is 0.

    Source: Yin et al., "A real-time memory updating strategy for unsupervised person re-identification", TIP 2023;
    Ge et al., "Self-paced contrastive learning", NeurIPS 2020.
    Differs from the source: its code adds 1e-6 to the share before the logarithm; rows may have weights.
    """
    weight = jnp.ones(labels.shape[0], features.dtype) if weight is None else weight
    own = (labels[:, None] == instance_labels[None, :]) & (labels >= 0)[:, None]
    takes_part = own.any(axis=1)
    # A row without an instance is compared with all as its own: over none the sum would be 0, its logarithm infinite.
    own |= ~takes_part[:, None]
    logits = features @ jax.lax.stop_gradient(instances).T / temperature
    among_own = jax.nn.logsumexp(logits, axis=1, where=own)
    loss = jax.nn.logsumexp(logits, axis=1) - among_own
    return weighted_mean(loss, jnp.where(takes_part, weight, 0.0))
