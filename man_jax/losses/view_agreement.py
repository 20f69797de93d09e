"""Compare two features of the same samples as if they were distributions.

Source: Li et al., "Logical relation inference and multiview information interaction for domain adaptation person
re-identification", TNNLS 2024.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from man_jax.losses.weighted import weighted_mean


def feature_divergence(
    features: Float[Array, "B D"], others: Float[Array, "B D"], *, weight: Float[Array, " B"]
) -> Float[Array, ""]:
    """Compute the divergence of two features of each row, per number, weighted mean over the rows.

        1/D Σ_d q_d (log q_d − log p_d),   p = softmax(features), q = softmax(others)

    The gradient goes through both. Rows of weight 0 take no part; without any other row the value is 0.

    Differs from the source: rows may have weights.
    """
    p, q = jax.nn.log_softmax(features), jax.nn.log_softmax(others)
    return weighted_mean(jnp.mean(jnp.exp(q) * (q - p), axis=1), weight)
