"""One epoch of iterations, and what retrieval is worth after it."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float

from data_pipelines.loader import training_batches
from data_pipelines.prepared import PreparedDataset, PreparedSplit
from data_pipelines.progress import track
from man_jax.engine.extract import Extract, extract_table
from man_jax.engine.sharding import local_rows, put_batch
from man_jax.engine.state import TrainState
from man_jax.engine.step import Batch, Step
from man_jax.networks.three_branch import Variables, concatenate_modalities
from man_jax.objectives.total import Terms
from man_jax.retrieval.ranking import RankingResult, evaluate_ranking, squared_distances
from man_jax.vectors import unit

RUN_AHEAD = 2
"""Steps that may be under way before the host waits: enough to keep the device busy, few batches in memory."""


def labelled_batches(
    split: PreparedSplit,
    plan: np.ndarray,
    labels: np.ndarray,
    reliable: np.ndarray | None = None,
    *,
    mesh: Mesh,
    workers: int,
) -> Iterator[Batch]:
    """The batches of a plan [T, B] with their labels, on the devices; each host loads its own share."""
    reliable = np.ones(len(labels), bool) if reliable is None else reliable
    local_plan = plan[:, local_rows(plan.shape[1])]
    for batch in training_batches(split, local_plan, workers=workers):
        index = batch["index"]
        yield Batch(*put_batch((batch["images"], labels[index], reliable[index]), mesh))


def train_epoch(
    step: Step, state: TrainState, *domains: Iterable[Batch] | None, num_steps: int, description: str
) -> tuple[TrainState, dict[str, float]]:
    """Run the step over the batches of one or two domains; the state after it and the mean of each loss term.

    A domain that is None takes no part: the step is given None in its place.

    Raises FloatingPointError if a term is not finite, which no later step could mend.
    """
    progress = track(
        zip(*(repeat(None, num_steps) if batches is None else batches for batches in domains), strict=True),
        total=num_steps,
        description=description,
        unit="step",
        process_index=jax.process_index(),
    )
    history: list[Terms] = []
    for batches in progress:
        state, terms = step(state, *batches)
        history.append(terms)
        if len(history) > RUN_AHEAD:
            progress.set_postfix(loss=float(history[-1 - RUN_AHEAD]["total"]))
    fetched = jax.device_get(history)
    means = {f"loss/{name}": float(np.mean([terms[name] for terms in fetched])) for name in fetched[0]}
    broken = sorted(name for name, mean in means.items() if not np.isfinite(mean))
    if broken:
        raise FloatingPointError(
            f"{description}: {', '.join(broken)} became infinite or NaN; the last checkpoint is whole. "
            f"Lower the learning rate of this phase, or raise its warmup_epochs"
        )
    return state, means


def retrieval_distances(
    extract: Extract,
    variables: Variables,
    data: PreparedDataset,
    *,
    batch_size: int,
    mesh: Mesh,
    present: Sequence[int] | None = None,
) -> Float[np.ndarray, "Q G"]:
    """Squared distances of the fused Unit features of every query to every gallery triple.

    `present`: the branches whose modality is there (Table 9); all of them if None.
    """

    def fused(split: PreparedSplit, name: str):
        table = extract_table(
            extract, variables, split, batch_size=batch_size, mesh=mesh, description=f"features of {name}"
        )
        if present is None:
            return table.fused
        return np.asarray(unit(concatenate_modalities(jnp.asarray(table.modal[list(present)]))))

    return squared_distances(fused(data.query, "queries"), fused(data.gallery, "gallery"))


def rank(distances: Float[np.ndarray, "Q G"], data: PreparedDataset) -> RankingResult:
    """mAP, CMC and mINP under the removal rule of the data set."""
    return evaluate_ranking(
        distances,
        query_pids=data.query.pids,
        gallery_pids=data.gallery.pids,
        query_groups=data.query.groups,
        gallery_groups=data.gallery.groups,
        group_name=data.removal,
    )
