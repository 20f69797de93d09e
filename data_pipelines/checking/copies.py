"""Find copies of a picture that the removal rule leaves in place: equal bytes, and near-copies by their looks.

These functions are pure: they take what was read and verified, and return sentences.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data_pipelines.checking.looks import GRID_LIMIT, Limits, limits_among, near_pairs
from data_pipelines.checking.verification import FileReport
from data_pipelines.reading.folders import shortlist
from data_pipelines.reading.records import UNLABELLED, Dataset, Record

Pair = tuple[Path, Path]


@dataclass(frozen=True)
class _Found:
    """What was found about a data set's files, by path."""

    digests: Mapping[Path, str]
    looks: Mapping[Path, np.ndarray]
    blank: frozenset[Path]
    limits: Sequence[Limits] = ()
    """The limits of each modality."""


def copy_warnings(dataset: Dataset, reports: Sequence[FileReport]) -> tuple[str, ...]:
    """Warn of queries with a copy in the gallery, of near-copies of training images, and of double entries."""
    found = _Found(
        digests={report.path: report.digest for report in reports if report.digest},
        looks={
            report.path: np.frombuffer(bytes.fromhex(report.look), np.uint8)
            for report in reports
            if report.look
        },
        blank=frozenset(report.path for report in reports if report.look == ""),
    )
    found = replace(found, limits=[_limits(dataset, m, found) for m in range(len(dataset.modalities))])
    return (
        *_common_patterns(dataset, found),
        *_copied_queries(dataset, found),
        *_near_copies_of_train(dataset, found),
        *_double_entries(dataset, found),
    )


def equation(dataset: Dataset, pair: Pair, sign: str = "=") -> str:
    """Write two files as `a = b`, by their paths within the data set."""
    return f" {sign} ".join(short_name(dataset, path) for path in pair)


def short_name(dataset: Dataset, path: Path) -> str:
    """Shorten a file's path to the part within the data set's folder; a file elsewhere keeps its whole path."""
    # A manifest's root is the table; its images lie beside it.
    for base in (dataset.root, dataset.root.parent):
        if path.is_relative_to(base):
            return path.relative_to(base).as_posix()
    return str(path)


def _copied_queries(dataset: Dataset, found: _Found) -> tuple[str, ...]:
    """Warn of queries with a copy in the gallery that the rule leaves in place, and of the effect if they are most."""
    gallery: defaultdict[int, list[Record]] = defaultdict(list)
    for record in dataset.splits.get("gallery", ()):
        gallery[record.pid].append(record)
    queries = dataset.splits.get("query", ())
    exact: dict[int, list[Pair]] = {}
    near: dict[int, list[Pair]] = {}
    for i, query in enumerate(queries):
        if query.pid == UNLABELLED:
            continue  # nobody scores it, and nobody knows whose copy it would be
        kept = [record for record in gallery[query.pid] if not record.shares_group(query, dataset.removal)]
        if pairs := [pair for record in kept for pair in _equal_files(query, record, found)]:
            exact[i] = pairs
        elif pairs := list(dict.fromkeys(_near_files([query], kept, found))):
            near[i] = pairs
    rule = f"the gallery under the same pid, which the rule 'same pid and same {dataset.removal}' leaves in place"
    sentences = []
    if 2 * len(exact.keys() | near.keys()) > len(queries):
        sentences.append(
            f"{dataset.name}: most queries have a copy or a near-copy in {rule}: R1 would be measured on copies and "
            f"say nothing of recognition. Correct the {dataset.removal} of these files, or remove one of each pair"
        )
    for kind, by_query, sign in (("copy, byte for byte,", exact, "="), ("near-copy", near, "≈")):
        if by_query:
            names = [equation(dataset, pair, sign) for pairs in by_query.values() for pair in pairs]
            sentences.append(
                f"{dataset.name}: {len(by_query)} of {len(queries)} queries have a {kind} in {rule}: "
                f"{shortlist(names, 4)}"
            )
    return tuple(sentences)


def _near_copies_of_train(dataset: Dataset, found: _Found) -> tuple[str, ...]:
    held_out = (*dataset.splits.get("query", ()), *dataset.splits.get("gallery", ()))
    pairs = list(dict.fromkeys(_near_files(dataset.splits.get("train", ()), held_out, found)))
    if not pairs:
        return ()
    num_files = len({train for train, _ in pairs})
    names = [equation(dataset, pair, "≈") for pair in pairs]
    return (
        f"{dataset.name}: {num_files} files of train are near-copies (encoded anew or rescaled) of files of query or "
        f"gallery: {shortlist(names)}",
    )


def _double_entries(dataset: Dataset, found: _Found) -> tuple[str, ...]:
    """Warn of triples that occur more than once in a split with one identity."""
    sentences = []
    for split, records in dataset.splits.items():
        first: dict[tuple[object, ...], Record] = {}
        doubles: list[Pair] = []
        for record in records:
            key = tuple(found.digests.get(image.path) for image in record.images)
            if None not in key and (earlier := first.setdefault((record.pid, *key), record)) is not record:
                doubles.append((earlier.images[0].path, record.images[0].path))
        if doubles:
            of_whom = "under one pid"
            if {record.pid for record in records} == {UNLABELLED}:
                of_whom = "without a pid"
            names = [equation(dataset, pair) for pair in doubles]
            sentences.append(
                f"{dataset.name}: {len(doubles)} triples of {split} are entered twice, byte for byte {of_whom}, and "
                f"count twice: {shortlist(names)}"
            )
    return tuple(sentences)


def _equal_files(one: Record, other: Record, found: _Found) -> list[Pair]:
    """Pair the files of equal bytes; a blank file counts only if all files are equal."""
    digests = found.digests
    if {digests.get(image.path) for image in one.images}.isdisjoint(
        digests.get(i.path) for i in other.images
    ):
        return []
    pairs = [
        (image.path, copy.path)
        for image in one.images
        for copy in other.images
        if image.path in digests and digests[image.path] == digests.get(copy.path)
    ]
    pairs = list(dict.fromkeys(pairs))
    if len({path for path, _ in pairs}) == len({image.path for image in one.images}):
        return pairs
    return [pair for pair in pairs if pair[0] not in found.blank]


def _near_files(ones: Sequence[Record], others: Sequence[Record], found: _Found) -> Iterator[Pair]:
    """Yield pairs of files of one modality that look alike but differ in their bytes."""
    for m in range(len(ones[0].images) if ones else 0):
        first, second = _files_of(ones, m, found), _files_of(others, m, found)
        if not first or not second:
            continue
        looks, others_looks = (np.stack([found.looks[path] for path in paths]) for paths in (first, second))
        for i, j in near_pairs(looks, others_looks, found.limits[m]):
            if found.digests.get(first[i]) != found.digests.get(second[j]):
                yield first[i], second[j]


def _common_patterns(dataset: Dataset, found: _Found) -> tuple[str, ...]:
    """Warn of modalities whose near-copies can hardly be found; () if there are none."""
    hardly = [
        modality
        for modality, limits in zip(dataset.modalities, found.limits, strict=True)
        if limits.contrast < GRID_LIMIT / 3
    ]
    if not hardly:
        return ()
    return (
        f"{dataset.name}: the images of {', '.join(hardly)} have most of their looks in common, as borders, a dead row "
        f"or a vignette make them: near-copies among them may go unseen; copies byte for byte do not",
    )


def _limits(dataset: Dataset, m: int, found: _Found) -> Limits:
    pids = {
        record.images[m].path: record.pid
        for records in dataset.splits.values()
        for record in records
        if record.images[m].path in found.looks
    }
    return (
        limits_among(np.stack([found.looks[path] for path in pids]), [*pids.values()]) if pids else Limits()
    )


def _files_of(records: Sequence[Record], m: int, found: _Found) -> list[Path]:
    """List the files of the m-th modality whose look is known, each once."""
    paths = (record.images[m].path for record in records)
    return list(dict.fromkeys(path for path in paths if path in found.looks))
