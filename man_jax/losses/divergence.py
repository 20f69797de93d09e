"""Keep two features of the same samples alike as distributions."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def jensen_shannon(
    x: Float[Array, "B D"], y: Float[Array, "B D"], *, weight: Float[Array, " B"] | None = None
) -> Float[Array, ""]:
    """Compute the Jensen–Shannon divergence of the softmax of two features, weighted sum over the batch.

        sum_b w_b (KL(p || m) + KL(q || m)) / 2,   p = softmax(x), q = softmax(y), m = (p + q) / 2

    Source: Li et al., "Distribution-guided hierarchical calibration contrastive network for unsupervised person
    re-identification", TCSVT 2024.
    Differs from the source: rows may have weights.
    """
    weight = jnp.ones(x.shape[0], x.dtype) if weight is None else weight
    log_p, log_q = jax.nn.log_softmax(x), jax.nn.log_softmax(y)
    log_mean = jnp.logaddexp(log_p, log_q) - jnp.log(2.0)
    halves = jnp.exp(log_p) * (log_p - log_mean) + jnp.exp(log_q) * (log_q - log_mean)
    return jnp.sum(weight * halves.sum(axis=1)) / 2.0
