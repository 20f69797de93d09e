"""Which samples make up which batch: pure functions of labels, seed, epoch and a name."""

import zlib
from collections.abc import Iterator

import numpy as np


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
) -> np.ndarray:
    """P x K batches as sample indices, int32 [T, P * K], T = `num_steps`, P = `identities`, K = `instances`.

    Each row holds P distinct labels, K members of each next to one another. Labels take turns: every label
    is drawn before any is drawn again. A label with fewer than K members shows all of them before it repeats
    one; otherwise no member occurs twice in a row. Samples with a negative label are never drawn.

    With `reliable`, at least `minimum_reliable` of the K members are reliable where the label has as many.

    The plan depends on its arguments only, so it need not be saved to be resumed.

    Args:
        labels: int [N].
        num_steps: T.
        identities: P.
        instances: K.
        seed: of the run, not negative.
        epoch: of the run, not negative.
        stream: the name of what is sampled, such as "source"; each name has randomness of its own.
        reliable: bool [N], or None if all samples are alike.
        minimum_reliable: per group of K.

    Raises:
        ValueError: P or K below 1, or fewer than P labels.
    """
    labels = np.asarray(labels)
    if identities < 1 or instances < 1:
        raise ValueError(f"identities and instances must be at least 1, got {identities} and {instances}")
    if reliable is not None and np.shape(reliable) != labels.shape:
        raise ValueError(f"reliable {np.shape(reliable)} must have the shape of labels {labels.shape}")
    members = _members_by_label(labels)
    if len(members) < identities:
        raise ValueError(
            f"{stream}: {len(members)} labels cannot fill batches of {identities} identities; "
            f"lower identities to at most {len(members)}, or provide more labelled samples"
        )
    rng = np.random.default_rng([seed, epoch, zlib.crc32(stream.encode())])
    plan = np.empty((num_steps, identities, instances), np.int32)
    for step, row in zip(range(num_steps), _turns(len(members), identities, rng), strict=False):
        for p, label_index in enumerate(row):
            order = rng.permutation(members[label_index])
            if reliable is not None:
                order = _reliable_first(order, reliable[order], minimum_reliable)
            plan[step, p] = np.resize(order, instances)  # cuts, or repeats from the start
    return plan.reshape(num_steps, identities * instances)


def _members_by_label(labels: np.ndarray) -> list[np.ndarray]:
    """For each label >= 0 in ascending order, the indices of its samples."""
    order = np.argsort(labels, kind="stable")
    order = order[labels[order] >= 0]
    if not len(order):
        return []
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)


def _turns(count: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Endless rows of `size` distinct numbers below `count`: one permutation after another, cut up."""
    queue = np.empty(0, np.int64)
    while True:
        if len(queue) < size:
            fresh = rng.permutation(count)
            # What is still queued goes to the end of the new round, so that no row has a number twice.
            again = np.isin(fresh, queue)
            queue = np.concatenate([queue, fresh[~again], fresh[again]])
        yield queue[:size]
        queue = queue[size:]


def _reliable_first(order: np.ndarray, reliable: np.ndarray, minimum: int) -> np.ndarray:
    """`order` with its first `minimum` reliable members brought to the front."""
    first = reliable & (np.cumsum(reliable) <= minimum)
    return np.concatenate([order[first], order[~first]])
