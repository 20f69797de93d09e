"""Check what every data set must fulfil, whatever its layout: no empty split, and queries that have matches."""

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from data_pipelines.reading.folders import shortlist
from data_pipelines.reading.numbers import check_spellings
from data_pipelines.reading.records import (
    MODALITIES,
    NO_GROUP,
    SPLITS,
    UNLABELLED,
    DataError,
    Dataset,
    Facts,
    Record,
    Removal,
)
from data_pipelines.reading.roles import absence_warnings, unlabelled_warnings


@contextlib.contextmanager
def gathered_warnings(found: Sequence[str] = ()) -> Iterator[list[str]]:
    """Collect the warnings of a block in a list that begins with `found`; a DataError of the block shows them too."""
    warnings = list(found)
    try:
        yield warnings
    except DataError as error:
        if not warnings:
            raise
        raise DataError(f"{error} (noticed before: {'; '.join(warnings)})") from error


def checked_dataset(
    facts: Facts,
    root: Path,
    splits: Mapping[str, Sequence[Record]],
    warnings: Sequence[str],
    modalities: Sequence[str] = MODALITIES,
) -> Dataset:
    """Make the data set; DataError if a split is empty or a number is written in two ways.

    Identities in both train and test add a warning. A split that the set lacks is no key of `splits`;
    `roles.absence_warnings` says which splits may be missing.
    """
    for split, records in splits.items():
        if not records:
            raise DataError(
                f"{facts.name}: no triple in the split {split} below {root}; "
                f"image names look like {facts.example}. If the set has no such split, remove its folder"
            )
    found = (record for records in splits.values() for record in records)
    check_spellings(facts.name, found, removal=facts.removal)
    return Dataset(
        name=facts.name,
        root=root,
        splits={split: tuple(splits.get(split, ())) for split in SPLITS},
        removal=facts.removal,
        warnings=(
            *warnings,
            *absence_warnings(facts.name, root, splits),
            *_shared_identities(facts.name, splits),
        ),
        modalities=tuple(modalities),
    )


def check_queries(dataset: Dataset) -> tuple[str, ...]:
    """Warn of queries without a match in the gallery; DataError if no query has one.

    A match is a gallery triple of the query's identity that the removal rule leaves in place. The evaluation skips a
    query without a match, so a set of such queries has no score at all. If triples lack their identity, the warning
    says that instead, because matches are unknown then.
    """
    if warnings := unlabelled_warnings(dataset):
        return warnings
    rule = dataset.removal
    groups_of_pid: defaultdict[int, set[int]] = defaultdict(set)
    for record in dataset.splits["gallery"]:
        groups_of_pid[record.pid].add(record.group(rule))

    queries = dataset.splits["query"]
    absent = [query for query in queries if query.pid not in groups_of_pid]
    removed = [query for query in queries if groups_of_pid.get(query.pid) == {query.group(rule)} - {NO_GROUP}]
    num_unmatched = len(absent) + len(removed)
    if not num_unmatched:
        return ()

    reasons = []
    if removed:
        reasons.append(
            f"for {len(removed)} the rule 'same pid and same {rule}' removes every gallery triple of the "
            f"identity ({shortlist(_examples(removed), 3)})"
        )
    if absent:
        reasons.append(f"for {len(absent)} it lacks the identity ({shortlist(_examples(absent), 3)})")
    found = f"{dataset.name}: {num_unmatched} of {len(queries)} queries have no match in the gallery: "
    found += "; ".join(reasons)
    if num_unmatched == len(queries):
        place = "table" if dataset.root.is_file() else "file names"
        raise DataError(
            f"{found}. Nothing can be evaluated: the gallery must show each query's identity "
            f"under another {rule}; check the {rule} in the {place}."
        )
    return (f"{found}; evaluation skips them.",)


def judged_by(dataset: Dataset, removal: Removal) -> Dataset:
    """Give the data set another removal rule; DataError if it lacks the numbers that this rule compares.

    It is an error too if such a number is written in two ways.
    """
    if removal == dataset.removal:
        return dataset
    judged = [record for split in ("query", "gallery") for record in dataset.splits[split]]
    lacking = [record.name for record in judged if record.group(removal) == NO_GROUP]
    if lacking and removal != "none":
        raise DataError(
            f"{dataset.name} in {dataset.root} cannot be judged by the rule 'same pid and same {removal}': "
            f"{len(lacking)} of {len(judged)} query and gallery triples have no {removal} ({shortlist(lacking, 3)}); "
            f"choose another rule, the data set's own is {dataset.removal}"
        )
    check_spellings(dataset.name, judged, removal=removal)
    return replace(dataset, removal=removal)


def junk_warnings(name: str, split: str, count: int) -> tuple[str, ...]:
    """Warn of triples that were left out of a split because they are junk, with their number; () without any."""
    return (f"{name}: {split}: {count} junk triples (identity -1) left out",) if count else ()


def _examples(records: Sequence[Record]) -> list[str]:
    return [f"pid {record.pid}, {record.name}" for record in records]


def _shared_identities(name: str, splits: Mapping[str, Sequence[Record]]) -> tuple[str, ...]:
    train = {record.pid for record in splits.get("train", ())} - {UNLABELLED}
    test = {record.pid for split in ("query", "gallery") for record in splits.get(split, ())}
    shared = sorted(train & test)
    if not shared:
        return ()
    return (f"{name}: {len(shared)} identities occur in both train and test: {shortlist(shared, 50)}",)
