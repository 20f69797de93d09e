"""Optimisers and learning-rate schedules (by default Adam at 3.5e-4, weight decay 1e-4, cosine with warm-up)."""

from typing import Literal

import jax
import optax

OptimizerName = Literal["adam", "sgd"]
WeightDecay = Literal["coupled", "decoupled"]


def warmup_cosine(peak: float, *, warmup_steps: int, total_steps: int) -> optax.Schedule:
    """Make the learning rate by step: it rises linearly from peak/100 in the warm-up, then falls by a cosine to 0."""
    # A phase that ends with its warm-up has no cosine, but optax wants one of at least one step.
    decay_steps = max(total_steps, warmup_steps + 1)
    return optax.warmup_cosine_decay_schedule(peak / 100, peak, warmup_steps, decay_steps)


def make_optimizer(
    name: OptimizerName,
    schedule: optax.Schedule,
    *,
    weight_decay: float,
    decay_form: WeightDecay = "coupled",
    decay_norms: bool = False,
) -> optax.GradientTransformation:
    """Make Adam, or SGD with momentum 0.9.

    `coupled` adds the decay to the gradient, as PyTorch's Adam and SGD do; `decoupled` adds it to the update, as
    AdamW does. Norms, necks and biases do not decay unless `decay_norms`.
    """
    scale = {"adam": optax.scale_by_adam, "sgd": lambda: optax.trace(decay=0.9)}
    if name not in scale:
        raise ValueError(f"optimizer is {name!r}; choose one of {sorted(scale)}")
    decay = optax.add_decayed_weights(weight_decay, mask=None if decay_norms else decaying)
    ordered = {"coupled": (decay, scale[name]()), "decoupled": (scale[name](), decay)}
    if decay_form not in ordered:
        raise ValueError(f"decay_form is {decay_form!r}; choose one of {sorted(ordered)}")
    return optax.chain(*ordered[decay_form], optax.scale_by_learning_rate(schedule))


def decaying(params) -> dict:
    """Mark the parameters that decay, which are the kernels, with True in a tree of the same structure."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)
