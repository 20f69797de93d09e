"""Train for one epoch: batches with their labels, and the steps over them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import repeat
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool

from data_pipelines.loading.loader import training_batches
from data_pipelines.session.progress import track
from data_pipelines.storing.prepared import PreparedSplit
from man_jax.engine.step import Step
from man_jax.engine.step_meter import StepMeter
from man_jax.frame import Batch, Labels, Terms, TrainState
from man_jax.runs.compilation_notice import compiling, say
from man_jax.runs.step_trace import StepTrace
from man_jax.runs.time_left import Phase, RunClock
from man_jax.sharding import local_rows, put_batch

RUN_AHEAD = 2
"""How many steps may be under way before the host waits. Two keep the device busy with few batches in memory."""

STEP_NAMES: dict[Phase, str] = {"pretrain": "the pre-training step", "adapt": "the adaptation step"}


def labelled_batches(
    split: PreparedSplit,
    cameras: np.ndarray,
    plan: np.ndarray,
    labels: Labels,
    *,
    mesh: Mesh,
    workers: int,
) -> Iterator[Batch]:
    """Yield the batches of a plan [T, B] with their labels, on the devices; each host loads only its own rows."""
    local_plan = plan[:, local_rows(plan.shape[1])]
    for loaded in training_batches(split, local_plan, workers=workers):
        index, images = loaded["index"], loaded["images"]
        batch = Batch(
            images=images,
            index=index,
            camera=cameras[index],
            labels=labels.labels[index],
            weight=labels.weight[index],
            present=np.ones(images.shape[:2], bool),
        )
        yield put_batch(batch, mesh)


def train_epoch(
    step: Step,
    state: TrainState,
    source: Iterable[Batch] | None,
    target: Iterable[Batch] | None,
    *,
    num_steps: int,
    description: str,
    phase: Phase = "pretrain",
    clock: RunClock | None = None,
    meter: StepMeter | None = None,
    trace: StepTrace | None = None,
) -> tuple[TrainState, dict[str, float]]:
    """Run the step over the batches of an epoch; return the state after it and the mean of each loss term.

    A domain that is None takes no part, and the step gets None in its place. The clock measures the steps of the
    phase and says once how long the run will take, the meter adds their rate to the progress, and a step that `trace`
    asks for is traced.

    Raises FloatingPointError if a loss term or the state is not finite, because no later step could repair that.
    """
    progress = track(
        zip(
            *(repeat(None, num_steps) if batches is None else batches for batches in (source, target)),
            strict=True,
        ),
        total=num_steps,
        description=description,
        unit="step",
        process_index=jax.process_index(),
    )
    history: list[Terms] = []
    first = int(state.step) if trace is not None else 0
    for batches in progress:
        if meter is not None:
            meter.count(phase, step, state, batches)
        around = nullcontext() if trace is None else trace.step(first + len(history))
        with around, compiling(step, STEP_NAMES[phase]) as seconds:
            state, terms = step(state, *batches)
            if trace is not None and trace.is_on:
                jax.block_until_ready(state)
        if clock is not None:
            clock.compiled(phase, seconds())
        history.append(terms)
        if len(history) > RUN_AHEAD:
            past = history[-1 - RUN_AHEAD]
            loss = float(past["total"])
            if not np.isfinite(loss):
                _refuse_broken(_broken(_means([past])), description)
            rate: dict[str, Any] = {}
            if clock is not None and meter is not None:
                rate = meter.figures(phase, clock.step_seconds(phase))
            progress.set_postfix(loss=loss, **rate)
            if clock is not None and clock.step(phase, len(history) - RUN_AHEAD):
                say(f"{clock.words(int(state.step))}, as the first steps went")
    means = _means(history)
    # The terms are computed before each update, so only the state shows the effect of the last update.
    _refuse_broken(_broken(means) + ([] if _is_finite(state) else ["the state"]), description)
    return state, means


def _means(history: Sequence[Terms]) -> dict[str, float]:
    fetched = jax.device_get(history)
    return {f"loss/{name}": float(np.mean([terms[name] for terms in fetched])) for name in fetched[0]}


def _broken(figures: Mapping[str, float]) -> list[str]:
    return sorted(name for name, figure in figures.items() if not np.isfinite(figure))


def _refuse_broken(broken: Sequence[str], description: str) -> None:
    if broken:
        raise FloatingPointError(
            f"{description}: {', '.join(broken)} became infinite or NaN; the last checkpoint is whole. "
            f"Lower the learning rate of this phase, or raise its warmup_epochs"
        )


@jax.jit
def _is_finite(tree: Any) -> Bool[Array, ""]:
    """Tell whether every floating-point number of a tree is finite."""
    floats = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.all(jnp.array([jnp.isfinite(leaf).all() for leaf in floats]))
