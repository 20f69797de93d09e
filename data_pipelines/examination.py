"""What people should know of a data set before training on it: counts beside published ones, doubles, conversions.

Pure: takes what was read and verified, gives sentences.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_pipelines.folders import shortlist
from data_pipelines.records import SPLITS, UNLABELLED, Dataset, Facts, Record
from data_pipelines.verification import FileReport

Pair = tuple[Path, Path]


def image_warnings(
    dataset: Dataset, reports: Sequence[FileReport], deep_range: tuple[int, int]
) -> tuple[str, ...]:
    """Conversions by kind, scaled images, and files of identical bytes where there should be none."""
    return (
        *_conversions(dataset, reports),
        *_deep_images(dataset, reports, deep_range),
        *_doubles(dataset, reports),
    )


def name_option(warning: str, option: str) -> str:
    """The warning with its advice on `deep_range` given for `option`, the flag or key of the command at hand."""
    return re.sub(r"(?<=[;,.] )deep_range=(?=\d)", f"{option}=", warning)


def count_warnings(dataset: Dataset, facts: Facts) -> tuple[str, ...]:
    """Splits whose triples or identities are not as many as were published."""
    return tuple(
        f"{dataset.name}: {split} has {found[0]:,} triples of {found[1]:,} identities, published are "
        f"{published[0]:,} of {published[1]:,}"
        for split, published in facts.published.items()
        if dataset.splits[split]  # one that is lacking is warned of as such
        and (found := _counts(dataset.splits[split])) != tuple(published)
    )


def count_table(dataset: Dataset, facts: Facts) -> str:
    """Triples, identities and cameras of each split as a table of text, beside the published counts if any."""
    lines = [f"{'split':<8}{'triples':>9}{'published':>11}{'identities':>12}{'published':>11}{'cameras':>9}"]
    for split in SPLITS:
        records = dataset.splits[split]
        triples, identities = _counts(records)
        published = [f"{count:,}" for count in facts.published.get(split, ())] or ["–", "–"]
        cameras = len({record.camid for record in records})
        lines.append(
            f"{split:<8}{triples:>9,}{published[0]:>11}{identities:>12,}{published[1]:>11}{cameras:>9}"
        )
    return "\n".join(lines)


def _counts(records: Sequence[Record]) -> tuple[int, int]:
    return len(records), len({record.pid for record in records} - {UNLABELLED})


def _conversions(dataset: Dataset, reports: Sequence[FileReport]) -> tuple[str, ...]:
    files: defaultdict[str, list[str]] = defaultdict(list)
    for report in reports:
        for note in report.notes:
            files[note].append(_short(dataset, report.path))
    return tuple(
        f"{dataset.name}: {len(names)} files: {note}: {shortlist(names)}"
        for note, names in sorted(files.items())
    )


def _deep_images(
    dataset: Dataset, reports: Sequence[FileReport], deep_range: tuple[int, int]
) -> tuple[str, ...]:
    values = [report.deep_values for report in reports if report.deep_values]
    if not values:
        return ()
    (low, high), lowest, highest = deep_range, min(v[0] for v in values), max(v[1] for v in values)
    hint = ""
    if lowest < low or highest > high:
        hint = "; what lies outside is cut"
    elif highest - lowest < (high - low) / 2 and highest > lowest:
        hint = f"; deep_range={lowest},{highest} would tell them apart better"
    return (
        f"{dataset.name}: {len(values)} files of more than 8 bits hold values from {lowest} to {highest}, scaled "
        f"from {low} … {high} to 0 … 255{hint}",
    )


def _doubles(dataset: Dataset, reports: Sequence[FileReport]) -> tuple[str, ...]:
    digests = {report.path: report.digest for report in reports if report.digest}
    held_out = _first_of_digest(dataset, ("query", "gallery"), digests)
    in_train = _first_of_digest(dataset, ("train",), digests)
    across = [(in_train[digest][0], held_out[digest][0]) for digest in in_train if digest in held_out]
    sentences = {
        "files of train have the very bytes of files of query or gallery": across,
        "files have the very bytes of a file of another identity": _across_identities(dataset, digests),
        "triples hold one image twice": _within_triples(dataset, digests),
    }
    return tuple(
        f"{dataset.name}: {len(pairs)} {what}: {shortlist([_equation(dataset, pair) for pair in pairs])}"
        for what, pairs in sentences.items()
        if pairs
    )


def _first_of_digest(
    dataset: Dataset, splits: Sequence[str], digests: Mapping[Path, str], *, labelled_only: bool = False
) -> dict[str, tuple[Path, int]]:
    """For each digest in these splits, the first file and the identity it shows."""
    found: dict[str, tuple[Path, int]] = {}
    for split in splits:
        for record in dataset.splits[split]:
            if labelled_only and record.pid == UNLABELLED:
                continue
            for image in record.images:
                if image.path in digests:
                    found.setdefault(digests[image.path], (image.path, record.pid))
    return found


def _across_identities(dataset: Dataset, digests: Mapping[Path, str]) -> list[Pair]:
    # Of an unlabelled triple nobody can say that it shows another identity.
    first = _first_of_digest(dataset, SPLITS, digests, labelled_only=True)
    pairs = {
        (original, image.path)
        for records in dataset.splits.values()
        for record in records
        if record.pid != UNLABELLED
        for image in record.images
        if image.path in digests
        for original, pid in [first[digests[image.path]]]
        if pid != record.pid and original != image.path
    }
    return sorted(pairs)


def _within_triples(dataset: Dataset, digests: Mapping[Path, str]) -> list[Pair]:
    pairs = set()
    for records in dataset.splits.values():
        for record in records:
            seen: dict[str, Path] = {}
            for image in record.images:
                digest = digests.get(image.path)
                if digest and seen.setdefault(digest, image.path) != image.path:
                    pairs.add((seen[digest], image.path))
    return sorted(pairs)


def _equation(dataset: Dataset, pair: Pair) -> str:
    return " = ".join(_short(dataset, path) for path in pair)


def _short(dataset: Dataset, path: Path) -> str:
    # A manifest's root is the table; its images lie beside it.
    for base in (dataset.root, dataset.root.parent):
        if path.is_relative_to(base):
            return path.relative_to(base).as_posix()
    return str(path)
