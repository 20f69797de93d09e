"""Keep two students and their mean teachers in the state: what methods that build on MMT do alike around their losses.

objectives/mutual_teaching.py has the formulas.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Int32, PRNGKeyArray

from man_jax.frame import (
    Batch,
    ByDomain,
    EpochFeatures,
    Frame,
    Labels,
    Network,
    TrainState,
    pass_domains,
    views,
)
from man_jax.networks.heads import ColumnNorm, forget_columns
from man_jax.objectives.mutual_teaching import PAIR, follow_students, mean_centres, with_columns
from man_jax.randomness import other_key

TEACHERS = tuple(
    Network(
        params=("slots", "teachers", name, "params"),
        source=("slots", "teachers", name, "statistics", "source"),
        target=("slots", "teachers", name, "statistics", "target"),
    )
    for name in PAIR
)
"""The places of both teachers; the first one is tested."""


class Slots(NamedTuple):
    """The arrays that two teachers add to the state."""

    teachers: dict[str, dict[str, Any]]
    """The parameters of each teacher by name, and its running statistics by domain."""
    exists: Bool[Array, " C"]
    """Marks the classes that take part in the softmax."""
    updates: Int32[Array, ""]
    """Number of adaptation steps so far."""


class Passed(NamedTuple):
    """The outputs of all four networks for a batch, by name and domain, and their statistics afterwards."""

    students: dict[str, ByDomain]
    taught: dict[str, ByDomain]
    """What each teacher says of the view of its own student; of the target only."""
    statistics: dict[str, Any]
    teachers: dict[str, dict[str, Any]]
    """`Slots.teachers` with the statistics moved."""


def start_pair(frame: Frame, state: TrainState) -> TrainState:
    """Copy the pre-trained network to two students and two teachers."""
    teacher = {"params": state.params, "statistics": state.statistics}
    exists = frame.space.exists(frame.space.capacity)
    return state.replace(
        params=dict.fromkeys(PAIR, state.params),
        statistics=dict.fromkeys(PAIR, state.statistics),
        slots=Slots(dict.fromkeys(PAIR, teacher), exists, jnp.int32(0)),
    )


def renew_columns(
    frame: Frame,
    state: TrainState,
    features: EpochFeatures,
    target: Labels,
    *,
    clusters: Int[np.ndarray, " N"],
    mask: Bool[np.ndarray, " N"],
    norm: ColumnNorm,
) -> TrainState:
    """Give the heads of all four networks the clusters' centres as columns; moments of these columns become zero.

    `clusters` and `mask` say which samples make a centre. Clusters that continue keep their columns.
    """
    space = frame.space
    slots = state.slots._replace(exists=space.exists(target.num_clusters))
    if np.all(target.continued):
        return state.replace(slots=slots)
    centres = mean_centres(
        [table.modal for table in features.target],
        [table.fused for table in features.target],
        clusters,
        num_clusters=space.capacity,
        mask=mask,
    )

    def renewed(params: Any) -> dict[str, Any]:
        return with_columns(params, centres, first=space.num_source, norm=norm)

    teachers = {name: {**each, "params": renewed(each["params"])} for name, each in slots.teachers.items()}
    return state.replace(
        params={name: renewed(params) for name, params in state.params.items()},
        opt_state=forget_columns(state.opt_state, first=space.num_source),
        slots=slots._replace(teachers=teachers),
    )


def pass_pair(
    frame: Frame,
    params: dict[str, Any],
    state: TrainState,
    source: Batch | None,
    target: Batch,
    key: PRNGKeyArray,
) -> Passed:
    """Draw two views of the batch, and pass each through a student and its teacher."""
    seen = {
        "first": views(frame, key, source, target),
        "second": views(frame, other_key(key, "second view"), source, target),
    }
    passed = Passed({}, {}, {}, {})
    for name, view in seen.items():
        teacher = state.slots.teachers[name]
        passed.students[name], passed.statistics[name] = pass_domains(
            frame, params[name], state.statistics[name], view
        )
        passed.taught[name], moved = pass_domains(
            frame, teacher["params"], teacher["statistics"], ByDomain(None, view.target)
        )
        passed.teachers[name] = {**teacher, "statistics": moved}
    return passed


def follow_pair(state: TrainState, *, alpha: float) -> TrainState:
    """Count the step, and move each teacher towards its student."""
    slots = state.slots
    teachers = follow_students(slots.teachers, state.params, step=slots.updates, alpha=alpha)
    return state.replace(slots=slots._replace(teachers=teachers, updates=slots.updates + 1))
