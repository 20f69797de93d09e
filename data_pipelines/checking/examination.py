"""Report what a user should know about a data set before training: counts, published counts, copies, conversions.

These functions are pure: they take what was read and verified, and return sentences.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from data_pipelines.checking.copies import Pair, copy_warnings, equation, short_name
from data_pipelines.checking.depth_advice import (
    SHARES,
    TAIL,
    advised_range,
    blank_files,
    odd_groups,
    share_outside,
)
from data_pipelines.checking.verification import FileReport
from data_pipelines.reading.folders import shortlist
from data_pipelines.reading.records import SPLITS, UNLABELLED, Dataset, Facts, Record


def image_warnings(
    dataset: Dataset, reports: Sequence[FileReport], deep_range: tuple[int, int]
) -> tuple[str, ...]:
    """Warn of copies that the rule leaves in place, conversions by kind, scaled images, and equal files elsewhere."""
    return (
        *copy_warnings(dataset, reports),
        *_conversions(dataset, reports),
        *_deep_images(dataset, reports, deep_range),
        *_blank_files(dataset, reports),
        *_doubles(dataset, reports),
    )


def file_warnings(
    dataset: Dataset, reports: Sequence[FileReport], deep_range: tuple[int, int]
) -> tuple[str, ...]:
    """Warn of what counts for features too: conversions by kind, scaled images, and blank ones."""
    return (
        *_conversions(dataset, reports),
        *_deep_images(dataset, reports, deep_range),
        *_blank_files(dataset, reports),
    )


def name_option(warning: str, option: str) -> str:
    """Write the advice on `deep_range` in a warning for `option`, the flag or key of the command that is running."""
    return re.sub(r"(?<=[;,.] )deep_range=(?=\d)", f"{option}=", warning)


def count_warnings(dataset: Dataset, facts: Facts) -> tuple[str, ...]:
    """Warn of splits whose numbers of triples or identities are not the published ones."""
    return tuple(
        f"{dataset.name}: {split} has {found[0]:,} triples of {found[1]:,} identities, published are "
        f"{published[0]:,} of {published[1]:,}"
        for split, published in facts.published.items()
        if dataset.splits[split]  # one that is lacking is warned of as such
        and (found := _counts(dataset.splits[split])) != tuple(published)
    )


def count_table(dataset: Dataset, facts: Facts) -> str:
    """Count triples, identities and cameras of each split in a text table, with the published counts if any."""
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
            files[note].append(short_name(dataset, report.path))
    return tuple(
        f"{dataset.name}: {len(names)} files: {note}: {shortlist(names)}"
        for note, names in sorted(files.items())
    )


def _blank_files(dataset: Dataset, reports: Sequence[FileReport]) -> tuple[str, ...]:
    blank = [short_name(dataset, report.path) for report in reports if report.look == ""]
    if not blank:
        return ()
    return (
        f"{dataset.name}: {len(blank)} files show one value throughout, as a dead camera or a placeholder does: "
        f"{shortlist(blank)}",
    )


def _deep_images(
    dataset: Dataset, reports: Sequence[FileReport], deep_range: tuple[int, int]
) -> tuple[str, ...]:
    deep = [report for report in reports if report.deep_values]
    if not deep:
        return ()
    values = np.array([report.deep_values for report in deep])
    quantiles = np.array([_quantiles(report) for report in deep])
    (low, high), lowest, highest = deep_range, values.min(), values.max()
    hints = []
    share_cut = float(np.mean([report.share_cut for report in deep]))
    if lowest < low or highest > high:
        share = f", {_percent(share_cut)} of the values" if share_cut else ""
        hints.append(f"; what lies outside is cut{share}")
    better = advised_range(quantiles)
    if better and (better[1] - better[0] < (high - low) / 2 or share_cut > 2 * TAIL):
        hints.append(f"; deep_range={better[0]},{better[1]} would tell them apart better")
        if better[0] > lowest or better[1] < highest:
            outside = _percent(share_outside(quantiles, better))
            at_most = "" if outside.startswith("less") else "at most "
            hints.append(f" ({at_most}{outside} of the values lie outside it, blank files left out)")
    scaled = (
        f"{dataset.name}: {len(deep)} files of more than 8 bits hold values from {lowest} to {highest}, scaled "
        f"from {low} … {high} to 0 … 255{''.join(hints)}"
    )
    return (scaled, *_blank_deep_files(dataset, deep, quantiles), *_odd_ranges(dataset, deep))


def _quantiles(report: FileReport) -> Sequence[int]:
    # A report without quantiles is treated as one of evenly spread values.
    return report.deep_quantiles or [int(v) for v in np.interp(SHARES, (0, 1), report.deep_values or (0, 0))]


def _percent(share: float) -> str:
    if share < 1e-5:
        return "less than 0.001 %"
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def _blank_deep_files(dataset: Dataset, deep: Sequence[FileReport], quantiles: np.ndarray) -> tuple[str, ...]:
    # Files of a single value are counted among the blank files of any depth.
    blank = [
        short_name(dataset, report.path)
        for report, is_blank in zip(deep, blank_files(quantiles), strict=True)
        if is_blank and report.look != ""
    ]
    if not blank:
        return ()
    return (
        f"{dataset.name}: {len(blank)} files of more than 8 bits hold next to one value only, as blank frames do: "
        f"{shortlist(blank)}",
    )


def _odd_ranges(dataset: Dataset, deep: Sequence[FileReport]) -> tuple[str, ...]:
    """Warn of cameras and modalities with other raw values than the rest, for which one range cannot suit all."""
    quantiles = {report.path: _quantiles(report) for report in deep}
    by_camera: defaultdict[str, dict[Path, Sequence[int]]] = defaultdict(dict)
    by_modality: defaultdict[str, dict[Path, Sequence[int]]] = defaultdict(dict)
    for records in dataset.splits.values():
        for record in records:
            for modality, image in zip(dataset.modalities, record.images, strict=False):
                if image.path in quantiles:
                    by_camera[f"camera {record.camid}"][image.path] = quantiles[image.path]
                    by_modality[f"modality {modality}"][image.path] = quantiles[image.path]
    return tuple(
        f"{dataset.name}: the images of {group} of more than 8 bits hold values from {low} to {high}, the others' "
        f"from {rest[0]} to {rest[1]}: one deep_range does not suit both; bring them to one scale first"
        for groups in (by_camera, by_modality)
        for group, (low, high), rest in odd_groups({k: list(v.values()) for k, v in groups.items()})
    )


def _doubles(dataset: Dataset, reports: Sequence[FileReport]) -> tuple[str, ...]:
    # A blank file is equal to any other, and is counted as blank.
    digests = {report.path: report.digest for report in reports if report.digest and report.look != ""}
    held_out = _first_of_digest(dataset, ("query", "gallery"), digests)
    in_train = _first_of_digest(dataset, ("train",), digests)
    across = [(in_train[digest][0], held_out[digest][0]) for digest in in_train if digest in held_out]
    sentences = {
        "files of train have the very bytes of files of query or gallery": across,
        "files have the very bytes of a file of another identity": _across_identities(dataset, digests),
        "triples hold one image twice": _within_triples(dataset, digests),
    }
    return tuple(
        f"{dataset.name}: {len(pairs)} {what}: {shortlist([equation(dataset, pair) for pair in pairs])}"
        for what, pairs in sentences.items()
        if pairs
    )


def _first_of_digest(
    dataset: Dataset, splits: Sequence[str], digests: Mapping[Path, str], *, labelled_only: bool = False
) -> dict[str, tuple[Path, int]]:
    """Find, for each digest in these splits, the first file and the identity that it shows."""
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
    # An unlabelled triple may show the same identity.
    first = _first_of_digest(dataset, SPLITS, digests, labelled_only=True)
    pairs = {
        (original, image.path)
        for records in dataset.splits.values()
        for record in records
        if record.pid != UNLABELLED
        for image in record.images
        if image.path in digests
        for original, pid in [first[digests[image.path]]]
        if pid != record.pid
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
