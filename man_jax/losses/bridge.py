"""Losses of an intermediate domain, whose features are mixtures of source and target.

Source: Dai et al., "IDM: an intermediate domain module for domain adaptive person re-ID", ICCV 2021.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from man_jax.losses.identity import smoothed_cross_entropy

LEAST = 1e-12
"""Keeps the gradient of a root finite at 0."""


def mixed_cross_entropy(
    logits: Float[Array, "B C"],
    source_labels: Int[Array, " B"],
    target_labels: Int[Array, " B"],
    source_share: Float[Array, " B"],
    *,
    smoothing: float = 0.1,
    exists: Bool[Array, " C"] | None = None,
) -> Float[Array, " B"]:
    """Compute the cross-entropy with a mixture of two smoothed labels, one value a row.

        −Σ_c y_c log softmax(logits)_c,   y = λ y_s + (1 − λ) y_t

    The share λ of the source's label is constant. Classes that do not exist take no part.

    Differs from the source: classes may be missing.
    """
    share = jax.lax.stop_gradient(source_share)
    known = {"smoothing": smoothing, "exists": exists}
    of_source = smoothed_cross_entropy(logits, source_labels, **known)
    of_target = smoothed_cross_entropy(logits, target_labels, **known)
    return share * of_source + (1.0 - share) * of_target


def feature_bridge(
    source: Float[Array, "B D"],
    target: Float[Array, "B D"],
    mixed: Float[Array, "B D"],
    shares: Float[Array, "B 2"],
) -> Float[Array, ""]:
    """Draw mixed features to those they are mixed of, mean over the batch.

        λ_s ‖f_mixed − f_s‖ + λ_t ‖f_mixed − f_t‖

    The gradient reaches all features and the shares.

    Differs from the source: nothing.
    """
    distances = [
        jnp.sqrt(jnp.maximum(jnp.sum((mixed - each) ** 2, axis=1), LEAST)) for each in (source, target)
    ]
    return jnp.mean(jnp.sum(shares * jnp.stack(distances, axis=1), axis=1))


def share_diversity(shares: Float[Array, "B 2"]) -> Float[Array, ""]:
    """Compute the diversity loss, which is low where a batch has many different mixtures.

        −(std(λ_s) + std(λ_t)),   std over the batch, divided by B

    Differs from the source: nothing.
    """
    variance = jnp.mean((shares - jnp.mean(shares, axis=0, keepdims=True)) ** 2, axis=0)
    return -jnp.sum(jnp.sqrt(jnp.maximum(variance, LEAST)))
