"""Choose the samples of each batch, by pure functions of labels, seed, epoch and a name."""

import zlib
from collections.abc import Iterator
from typing import Literal

import numpy as np

Draw = Literal["turns", "by_images"]


def identity_plan(
    labels: np.ndarray,
    *,
    num_steps: int,
    identities: int,
    instances: int,
    seed: int,
    epoch: int,
    stream: str,
    reliable: np.ndarray | None = None,
    minimum_reliable: int = 2,
    draw: Draw = "turns",
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Draw P x K batches as sample indices, int32 [T, P * K]; T = `num_steps`, P = `identities`, K = `instances`.

    Each row has P different labels and K samples of each, next to one another. With "turns", every label is drawn
    before any label is drawn again. With "by_images", each of the P labels is drawn from those that are left in
    proportion to the number of their samples. A label with fewer than K samples shows all of them before it repeats
    one; otherwise no sample occurs twice in a row. Samples with a negative label are never drawn.

    With `groups`, all labels of a row are of one group, and the groups follow in turns. A group with fewer than P
    labels has no row; if all have fewer, groups do not matter. With `reliable`, at least `minimum_reliable` of the K
    samples are reliable, if the label has so many.
    The plan depends on its arguments only, so a run that goes on computes it again and need not save it.

    Args:
        labels: int [N].
        num_steps: T.
        identities: P.
        instances: K.
        seed: the seed of the run, not negative.
        epoch: the epoch of the run, not negative.
        stream: the name of what is sampled, such as "source"; each name has its own random numbers.
        reliable: bool [N], or None if reliability does not matter.
        minimum_reliable: the number in each group of K.
        draw: how labels are drawn.
        groups: int [N], the same for all samples of a label; or None if labels are not grouped.

    Raises:
        ValueError: P or K below 1, or fewer than P labels.
    """
    labels = np.asarray(labels)
    _check_arguments(labels, identities, instances, reliable)
    members = _members_by_label(labels)
    if len(members) < identities:
        raise ValueError(
            f"{stream}: {len(members)} labels cannot fill batches of {identities} identities; "
            f"lower identities to at most {len(members)}, or provide more labelled samples"
        )
    rng = np.random.default_rng([seed, epoch, zlib.crc32(stream.encode())])
    plan = np.empty((num_steps, identities, instances), np.int32)
    drawn = _rows(members, groups, identities, rng, draw)
    for step, row in zip(range(num_steps), drawn, strict=False):
        for p, label_index in enumerate(row):
            order = rng.permutation(members[label_index])
            if reliable is not None:
                order = _reliable_first(order, reliable[order], minimum_reliable)
            plan[step, p] = np.resize(order, instances)  # cuts, or repeats from the start
    return plan.reshape(num_steps, identities * instances)


def _check_arguments(
    labels: np.ndarray, identities: int, instances: int, reliable: np.ndarray | None
) -> None:
    if identities < 1 or instances < 1:
        raise ValueError(f"identities and instances must be at least 1, got {identities} and {instances}")
    if reliable is not None and np.shape(reliable) != labels.shape:
        raise ValueError(f"reliable {np.shape(reliable)} must have the shape of labels {labels.shape}")


def _members_by_label(labels: np.ndarray) -> list[np.ndarray]:
    """List the indices of the samples of each label >= 0, in ascending order of the labels."""
    order = np.argsort(labels, kind="stable")
    order = order[labels[order] >= 0]
    if not len(order):
        return []
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)


def _rows(
    members: list[np.ndarray],
    groups: np.ndarray | None,
    size: int,
    rng: np.random.Generator,
    draw: Draw,
) -> Iterator[np.ndarray]:
    """Yield endless rows of `size` different places in `members`, each of one group, the groups in turns."""
    of_labels = np.array([0 if groups is None else groups[each[0]] for each in members])
    every = [np.flatnonzero(of_labels == group) for group in np.unique(of_labels)]
    sizes = [*map(len, members)]
    places = [each for each in every if len(each) >= size] or [np.arange(len(sizes))]
    draws = {"turns": _turns, "by_images": _in_proportion}[draw]
    rows = [draws([sizes[place] for place in each], size, rng) for each in places]
    if len(places) == 1:
        yield from (places[0][row] for row in rows[0])
    for (group,) in _turns([1] * len(places), 1, rng):
        yield places[group][next(rows[group])]


def _turns(sizes: list[int], size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield endless rows of `size` different places in `sizes`, cut from one permutation after another."""
    queue = np.empty(0, np.int64)
    while True:
        if len(queue) < size:
            fresh = rng.permutation(len(sizes))
            # Numbers still in the queue go to the end of the new round, so that no row has a number twice.
            again = np.isin(fresh, queue)
            queue = np.concatenate([queue, fresh[~again], fresh[again]])
        yield queue[:size]
        queue = queue[size:]


def _in_proportion(sizes: list[int], size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield endless rows of `size` different places in `sizes`, drawn one after the other in proportion to it."""
    while True:
        yield rng.choice(len(sizes), size, replace=False, p=np.divide(sizes, sum(sizes)))


def _reliable_first(order: np.ndarray, reliable: np.ndarray, minimum: int) -> np.ndarray:
    """Move the first `minimum` reliable members of `order` to its front."""
    first = reliable & (np.cumsum(reliable) <= minimum)
    return np.concatenate([order[first], order[~first]])
