"""Choose and count what the page shows; nothing but the images is read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_pipelines.contact_sheet.strips import strip_url
from data_pipelines.reading.printable import printable
from data_pipelines.reading.records import SPLITS
from data_pipelines.storing.prepared import PreparedDataset, PreparedSplit

MOST_CAMERAS = 8
MOST_BARS = 12


@dataclass(frozen=True)
class Strip:
    """The images of a triple side by side, as a data URL, and its numbers."""

    url: str
    caption: str
    name: str


@dataclass(frozen=True)
class Count:
    """One row of a table of counts; `share` is its share of the largest row, for the bar."""

    label: str
    count: int
    share: float


@dataclass(frozen=True)
class SplitContent:
    """One split: its figures, random triples, and identities with at most one triple for each camera."""

    name: str
    figures: dict[str, str]
    cameras: list[Count]
    sizes: list[Count]
    """How many identities have each number of triples."""
    strips: list[Strip]
    columns: list[int]
    rows: list[tuple[int, list[tuple[int, Strip | None]]]]
    """For each identity and each camera of `columns`: the number of triples, and one of them."""


def describe(data: PreparedDataset, *, triples: int, identities: int, seed: int) -> list[SplitContent]:
    """Choose the content of each split: `triples` and `identities` are how many to show, drawn by `seed`."""
    rng = np.random.default_rng(seed)
    present = {name: split for name in SPLITS if len(split := getattr(data, name))}
    return [_split(name, split, triples, identities, rng) for name, split in present.items()]


def _split(
    name: str, split: PreparedSplit, triples: int, identities: int, rng: np.random.Generator
) -> SplitContent:
    chosen = rng.permutation(len(split))[:triples]
    known, per_identity = np.unique(split.pids[split.pids >= 0], return_counts=True)
    columns = np.unique(split.camids).tolist()[:MOST_CAMERAS]
    pids = np.sort(rng.permutation(known)[:identities]).tolist()
    cameras = [(f"{camid}", int(np.sum(split.camids == camid))) for camid in np.unique(split.camids)]
    return SplitContent(
        name=name,
        figures=_figures(split, known, per_identity),
        cameras=_counts(cameras),
        sizes=_counts(_sizes(per_identity)),
        strips=[_strip(split, int(index)) for index in chosen],
        columns=columns,
        rows=[(pid, [_cell(split, pid, camid, rng) for camid in columns]) for pid in pids],
    )


def _figures(split: PreparedSplit, known: np.ndarray, per_identity: np.ndarray) -> dict[str, str]:
    figures = {
        "triples": f"{len(split):,}",
        "identities": f"{len(known):,}",
        "cameras": f"{len(np.unique(split.camids))}",
    }
    if num_unlabelled := int(np.sum(split.pids < 0)):
        figures["without identity"] = f"{num_unlabelled:,}"
    if len(known):
        figures["triples an identity"] = _range(per_identity)
        pairs = np.unique(np.stack([split.pids, split.camids])[:, split.pids >= 0], axis=1)
        _, cameras = np.unique(pairs[0], return_counts=True)
        figures["cameras an identity"] = _range(cameras)
    if np.any(split.scenes >= 0):
        figures["scenes"] = f"{len(np.unique(split.scenes[split.scenes >= 0])):,}"
    return figures


def _range(counts: np.ndarray) -> str:
    least, most = counts.min(), counts.max()
    return f"{least}" if least == most else f"{least} to {most}, median {np.median(counts):g}"


def _sizes(per_identity: np.ndarray) -> list[tuple[str, int]]:
    """Count the identities by their number of triples, in at most `MOST_BARS` steps of equal width."""
    if not len(per_identity):
        return []
    least, most = int(per_identity.min()), int(per_identity.max())
    step = -(-(most - least + 1) // MOST_BARS)
    rows = []
    for first in range(least, most + 1, step):
        last = first + step - 1
        label = f"{first}" if step == 1 else f"{first} to {last}"
        rows.append((label, int(np.sum((per_identity >= first) & (per_identity <= last)))))
    return rows


def _counts(rows: Sequence[tuple[str, int]]) -> list[Count]:
    most = max((count for _, count in rows), default=1)
    return [Count(label, count, count / most) for label, count in rows]


def _cell(split: PreparedSplit, pid: int, camid: int, rng: np.random.Generator) -> tuple[int, Strip | None]:
    found = np.flatnonzero((split.pids == pid) & (split.camids == camid))
    return len(found), _strip(split, int(rng.choice(found))) if len(found) else None


def _strip(split: PreparedSplit, index: int) -> Strip:
    pid, camid, scene = (int(column[index]) for column in (split.pids, split.camids, split.scenes))
    parts = [
        f"pid {pid}" if pid >= 0 else "no identity",
        f"camid {camid}",
        *([f"scene {scene}"] if scene >= 0 else []),
    ]
    return Strip(strip_url(split[index]), ", ".join(parts), printable(split.names[index]))
