"""Create the state of a new run, and give it a new optimiser where a phase begins."""

import jax
import jax.numpy as jnp
import optax

from man_jax.frame import ByDomain, Frame, TrainState


def create_state(frame: Frame, optimizer: optax.GradientTransformation) -> TrainState:
    """Create the state with which pre-training begins: random weights, step 0."""
    init_key, step_key = jax.random.split(jax.random.key(frame.config.seed))
    variables = frame.model.init(init_key, tuple(frame.config.data.image_size))
    return TrainState(
        step=jnp.int32(0),
        params=variables["params"],
        statistics=ByDomain(variables["batch_stats"], variables["batch_stats"]),
        opt_state=optimizer.init(variables["params"]),
        key=step_key,
    )


def begin_phase(state: TrainState, optimizer: optax.GradientTransformation) -> TrainState:
    """Give a state the optimiser of a new phase, with moments of zero."""
    return state.replace(opt_state=optimizer.init(state.params))
