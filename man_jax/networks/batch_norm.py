"""Batch normalisation with PyTorch's constants, in a form that keeps one array for its gradient.

Source: Ioffe and Szegedy, "Batch Normalization: Accelerating deep network training", ICML 2015, algorithm 1.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

MOMENTUM = 0.9
"""The share of a running average that stays; PyTorch's momentum, 0.1, is that of the batch."""
EPSILON = 1e-5


class BatchNorm(nn.Module):
    """Normalise each channel over a batch, or by running averages: a x + b with a = γ / √(σ² + ε) and b = β − μ a.

    Variables and results are those of Flax's `nn.BatchNorm`, whose form, (x − μ) a + β, keeps x − μ for the gradient
    beside x. That is a quarter of a step's memory on a CPU, which writes and reads each of the two.
    """

    use_running_average: bool
    use_bias: bool = True
    dtype: Any = None
    """The type of the result; None: that of the maps, or float32 if they have less."""

    @nn.compact
    def __call__(self, x: Float[Array, "B *places C"]) -> Float[Array, "B *places C"]:
        """Normalise, and update the running averages by the batch's mean and biased variance unless they are used."""
        each = (x.shape[-1:], jnp.float32)
        averages = (
            self.variable("batch_stats", "mean", jnp.zeros, *each),
            self.variable("batch_stats", "var", jnp.ones, *each),
        )
        moments = tuple(average.value for average in averages)
        if not self.use_running_average:
            moments = _moments(x.astype(jnp.promote_types(x.dtype, jnp.float32)))
            if not self.is_initializing():
                for average, moment in zip(averages, moments, strict=True):
                    average.value = MOMENTUM * average.value + (1 - MOMENTUM) * moment
        mean, variance = moments
        factor = self.param("scale", nn.initializers.ones, *each) * jax.lax.rsqrt(variance + EPSILON)
        bias = self.param("bias", nn.initializers.zeros, *each) if self.use_bias else 0
        factor, offset = (jnp.expand_dims(row, range(x.ndim - 1)) for row in (factor, bias - mean * factor))
        normed = x * factor + offset
        return normed if self.dtype is None else normed.astype(self.dtype)


def _moments(x: Float[Array, "B *places C"]) -> tuple[Float[Array, " C"], Float[Array, " C"]]:
    """Compute mean and variance, E[x²] − E[x]², of each channel in one reading of the maps."""
    axes = tuple(range(x.ndim - 1))
    mean, of_squares = x.mean(axis=axes), jnp.square(x).mean(axis=axes)
    return mean, jnp.maximum(0, of_squares - jnp.square(mean))
