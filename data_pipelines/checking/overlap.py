"""Find what a source's training set and a target's test set have in common: by names, bytes and looks."""

from collections.abc import Iterator

import numpy as np

from data_pipelines.checking.looks import Limits, limits_among, near_pairs
from data_pipelines.reading.folders import shortlist
from data_pipelines.storing.prepared import PreparedDataset, PreparedSplit


def overlap_warnings(
    source: PreparedDataset, target: PreparedDataset, *, same_numbering: bool
) -> tuple[str, ...]:
    """Warn of triples that are in the source's train and in the target's query or gallery.

    `same_numbering` means that both sets use the same numbers for identities, as two copies of one published set do.
    Then equal pids are enough. Otherwise a triple counts only if pid and file name are both equal.
    """
    transfer = f"{source.name} → {target.name}"
    if same_numbering:
        shared = sorted(_pids(source.train) & (_pids(target.query) | _pids(target.gallery)))
        what = "identities of the source's train"
    else:
        shared = sorted(_triples(source.train) & (_triples(target.query) | _triples(target.gallery)))
        shared = [f"{name} (pid {pid})" for pid, name in shared]
        what = "triples of the source's train, by pid and file name,"
    sentences = []
    if shared:
        sentences.append(
            f"{transfer}: {len(shared)} {what} occur in the target's test: {shortlist(shared, 50)}"
        )
    return (*sentences, *_shared_pictures(transfer, source, target))


def _shared_pictures(transfer: str, source: PreparedDataset, target: PreparedDataset) -> Iterator[str]:
    """Warn of files of the source's train that the target's test holds too, under any name."""
    equal: dict[int, str] = {}
    near: dict[int, str] = {}
    for split in (target.query, target.gallery):
        for i, j in _equal_triples(source.train, split):
            equal.setdefault(i, f"{source.train.names[i]} = {split.names[j]}")
        for i, j in _near_triples(source.train, split):
            near.setdefault(i, f"{source.train.names[i]} ≈ {split.names[j]}")
    near = {i: names for i, names in near.items() if i not in equal}
    for found, how in ((equal, "have the very bytes"), (near, "are near-copies (encoded anew or rescaled)")):
        if found:
            names = [found[i] for i in sorted(found)]
            yield (
                f"{transfer}: files of {len(names)} triples of the source's train {how} of files of the target's "
                f"test: {shortlist(names)}"
            )


def _equal_triples(train: PreparedSplit, test: PreparedSplit) -> Iterator[tuple[int, int]]:
    """Yield triples (of train, of test) that share a file; blank files are left out, because they are all equal."""
    if train.contents is None or test.contents is None:
        return
    of_digest: dict[bytes, int] = {}
    for j, m in np.ndindex(test.contents.digests.shape[:2]):
        of_digest.setdefault(test.contents.digests[j, m].tobytes(), j)
    for i, m in np.argwhere(train.contents.looks.any(axis=-1)):
        if (j := of_digest.get(train.contents.digests[i, m].tobytes())) is not None:
            yield int(i), j


def _near_triples(train: PreparedSplit, test: PreparedSplit) -> Iterator[tuple[int, int]]:
    """Yield triples (of train, of test) whose files of one modality look alike."""
    if train.contents is None or test.contents is None:
        return
    for m in range(min(train.contents.looks.shape[1], test.contents.looks.shape[1])):
        looks = [split.contents.looks[:, m] for split in (train, test) if split.contents]
        ones, others = (np.flatnonzero(each.any(axis=-1)) for each in looks)
        first, second = looks[0][ones], looks[1][others]
        of_train, of_test = limits_among(first, train.pids[ones]), limits_among(second, test.pids[others])
        limits = Limits(*map(min, of_train, of_test))
        pairs = near_pairs(first, second, limits)
        yield from ((int(ones[i]), int(others[j])) for i, j in pairs)


def _pids(split: PreparedSplit) -> set[int]:
    return {int(pid) for pid in split.pids if pid >= 0}


def _triples(split: PreparedSplit) -> set[tuple[int, str]]:
    return {(int(pid), name) for pid, name in zip(split.pids, split.names, strict=True) if pid >= 0}
