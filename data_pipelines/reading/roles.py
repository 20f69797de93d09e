"""Check what a data set can be used for: training, adaptation, scoring, or features only.

A set may lack its training triples, or both query and gallery, and any triple may lack its identity. Reading and
preparing such a set only warn. A command that needs the missing part refuses the set before any work.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from data_pipelines.reading.folders import contents, shortlist
from data_pipelines.reading.records import SPLITS, UNLABELLED, DataError, Dataset, Record

TEST = ("query", "gallery")
FEATURES = (
    "It can be prepared, and its features extracted (data_pipelines.storing.prepared.load, "
    "man_jax.engine.extract.extract_table)"
)


def absence_warnings(name: str, root: Path, splits: Mapping[str, Sequence[Record]]) -> tuple[str, ...]:
    """Warn of what cannot be done with a set, if splits are missing in `splits`.

    Raises DataError if it has a query and no gallery, or a gallery and no query, or no split at all.
    """
    absent = [split for split in SPLITS if split not in splits]
    where = f"{root}, which holds {contents(root)}" if root.is_dir() else str(root)
    if len(set(TEST) & set(absent)) == 1 or len(absent) == len(SPLITS):
        raise DataError(
            f"{name}: no triple of {' or '.join(absent)} in {where}; query and gallery are needed both or not at "
            f"all. Triples to extract features of, and no more, can be training triples without an identity"
        )
    if "train" in absent:
        return (f"{name}: no training triple in {where}: the set cannot be trained on",)
    if absent:
        return (
            f"{name}: no query and no gallery in {where}: the set cannot be evaluated and be no target; a source "
            f"needs neither",
        )
    return ()


def unlabelled_warnings(dataset: Dataset) -> tuple[str, ...]:
    """Warn of query and gallery triples without an identity, with their number; () without any."""
    if not (found := _unlabelled(dataset, TEST)):
        return ()
    return (f"{dataset.name}: {found}: their features can be extracted, but the set cannot be scored",)


def require_scores(dataset: Dataset) -> None:
    """Check that the set has a query and a gallery, and an identity for each of their triples; DataError if not."""
    if not all(dataset.splits[split] for split in TEST):
        raise DataError(
            f"{_place(dataset)} cannot be scored: it has no query and no gallery. {FEATURES}; to score a model, give "
            f"it both, with identities"
        )
    if found := _unlabelled(dataset, TEST):
        raise DataError(
            f"{_place(dataset)} cannot be scored: {found}. {FEATURES}; to score a model, give each an identity, or "
            f"leave out those that have none"
        )


def require_training(dataset: Dataset, *, labels_because: str = "") -> None:
    """Check that the set has training triples; DataError if not.

    If `labels_because` gives a reason, each of them needs an identity too.
    """
    if not dataset.splits["train"]:
        raise DataError(
            f"{_place(dataset)} has no training triple and cannot be trained on; add some, or name another set. A "
            f"query and a gallery are enough to score a finished run (python -m man_jax.evaluate)"
        )
    if labels_because and (found := _unlabelled(dataset, ("train",))):
        raise DataError(f"{_place(dataset)}: {found}, and {labels_because}; label them, or leave them out")


def _place(dataset: Dataset) -> str:
    return f"{dataset.name} in {dataset.root}"


def _unlabelled(dataset: Dataset, splits: Sequence[str]) -> str:
    """Count the triples of these splits that have no identity, with a few names; empty if all have one."""
    counts, names = [], []
    for split in splits:
        records = dataset.splits[split]
        missing = [record.name for record in records if record.pid == UNLABELLED]
        if missing:
            counts.append(f"{len(missing)} of {len(records)} {'training' if split == 'train' else split}")
            names += [f"{split}: {name}" for name in missing[:2]]
    return f"{' and '.join(counts)} triples have no identity ({shortlist(names)})" if counts else ""
