"""The training step, a pure function of (state, batches): the method's loss, the update, and what follows it."""

from typing import Any

import jax
import optax

from man_jax.engine.placement import sharded_places
from man_jax.frame import Batch, Frame, Terms, TrainState
from man_jax.layout import AnyMesh, laid_out
from man_jax.sharding import replicated

Step = Any
"""A jitted function (state, source, target) → (state, terms). Calling it runs a step; `lower` compiles it only."""


def make_step(method: Any, frame: Frame, optimizer: optax.GradientTransformation, mesh: AnyMesh) -> Step:
    """Make the jitted step of a method (a module of `man_jax.methods`, or `man_jax.engine.pretraining`).

    A domain that takes no part is given as None: the target in pre-training, the source under the US protocol. The
    state is donated, so its arrays cannot be used after the call. The batches are split over the devices, but batch
    statistics, triplets and means are those of the whole batch. Arrays that the method shards stay divided.
    """
    places = sharded_places(method, frame)

    def step(state: TrainState, source: Batch | None, target: Batch | None) -> tuple[TrainState, Terms]:
        key = jax.random.fold_in(state.key, state.step)

        def loss(params):
            return method.loss(frame, params, state, source, target, key)

        (value, change), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        updated = state.replace(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            statistics=change.statistics,
            opt_state=opt_state,
            slots=change.slots,
        )
        after = laid_out(method.after_update(frame, updated), mesh, places)
        return after, {"total": value, **change.terms}

    # Where arrays are divided, each says in the program how it lies.
    of_state = None if places else replicated(mesh)
    return jax.jit(step, out_shardings=(of_state, replicated(mesh)), donate_argnums=0)
