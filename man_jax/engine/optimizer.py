"""Optimisers and learning-rate schedules (by default Adam at 3.5e-4, weight decay 1e-4, cosine with warm-up)."""

from typing import Literal

import jax
import jax.numpy as jnp
import optax

OptimizerName = Literal["adam", "sgd"]
WeightDecay = Literal["coupled", "decoupled"]


def warmup_cosine(peak: float, *, warmup_steps: int, total_steps: int) -> optax.Schedule:
    """Make the learning rate by step: it rises linearly from peak/100 in the warm-up, then falls by a cosine to 0."""
    # A phase that ends with its warm-up has no cosine, but optax wants one of at least one step.
    decay_steps = max(total_steps, warmup_steps + 1)
    return optax.warmup_cosine_decay_schedule(peak / 100, peak, warmup_steps, decay_steps)


def epochwise_cosine(peak: float, *, warmup_epochs: int, epochs: int, iterations: int) -> optax.Schedule:
    """Make the learning rate by step as the authors' code of MAN has it: one rate an epoch.

    Epoch e, from 1 on, has in the warm-up peak · (0.01 + 0.99 e / warmup_epochs), and from e = warmup_epochs on

        peak · (0.001 + 0.999 (1 + cos(π e / epochs)) / 2),

    so the cosine counts the warm-up too, and the last epoch has a thousandth of the peak.
    """

    def rate(step):
        epoch = jnp.minimum(step // iterations + 1, epochs)
        rising = 0.01 + 0.99 * epoch / max(warmup_epochs, 1)
        falling = 0.001 + 0.999 * (1 + jnp.cos(jnp.pi * epoch / max(epochs, 1))) / 2
        return peak * jnp.where(epoch < warmup_epochs, rising, falling)

    return rate


def make_optimizer(
    name: OptimizerName,
    schedule: optax.Schedule,
    *,
    weight_decay: float,
    decay_form: WeightDecay = "coupled",
    decay_norms: bool = False,
    bias_rate: float = 1.0,
) -> optax.GradientTransformation:
    """Make Adam, or SGD with momentum 0.9.

    `coupled` adds the decay to the gradient, as PyTorch's Adam and SGD do; `decoupled` adds it to the update, as
    AdamW does. Norms, necks and biases do not decay unless `decay_norms`. Biases have `bias_rate` times the learning
    rate of the other parameters.
    """
    scale = {"adam": optax.scale_by_adam, "sgd": lambda: optax.trace(decay=0.9)}
    if name not in scale:
        raise ValueError(f"optimizer is {name!r}; choose one of {sorted(scale)}")
    decay = optax.add_decayed_weights(weight_decay, mask=None if decay_norms else decaying)
    ordered = {"coupled": (decay, scale[name]()), "decoupled": (scale[name](), decay)}
    if decay_form not in ordered:
        raise ValueError(f"decay_form is {decay_form!r}; choose one of {sorted(ordered)}")
    # Without this, states that were saved under the rate 1 keep their form.
    of_biases = () if bias_rate == 1.0 else (optax.masked(optax.scale(bias_rate), biases),)
    return optax.chain(*ordered[decay_form], *of_biases, optax.scale_by_learning_rate(schedule))


def biases(params) -> dict:
    """Mark the biases with True in a tree of the same structure."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "bias", params)


def decaying(params) -> dict:
    """Mark the parameters that decay, which are the kernels, with True in a tree of the same structure."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)
