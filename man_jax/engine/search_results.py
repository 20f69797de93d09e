"""Write what a search found: as text, as CSV, and as a picture of ranking lists."""

import csv
import io
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_pipelines.reading.printable import printable
from data_pipelines.session.disk import writing
from data_pipelines.session.progress import track
from man_jax.engine.feature_images import FileImages
from man_jax.reporting.ranking_lists import RankingList, ranking_figure
from man_jax.reporting.save_figure import shorten
from man_jax.retrieval.feature_file import FeatureFile
from man_jax.retrieval.gallery import Gallery, chosen_rows, found_rows
from man_jax.retrieval.index import Matches

MOST_PRINTED = 10
"""Queries whose matches are printed."""
MOST_DRAWN, MOST_DRAWN_MATCHES = 12, 10
"""Queries and matches in the picture."""
LONGEST_NUMBER, LONGEST_NAME, LONGEST_HEADING = 9, 60, 40
"""The most letters of a number below a match, of a name in the table, and of one in a heading."""
QUERIES_AT_ONCE = 256
WORDS = {True: "right", False: "wrong", None: ""}


class Drawn(NamedTuple):
    """What a picture shows."""

    num_queries: int
    num_absent: int
    """Images that could not be read."""


def search_all(gallery: Gallery, query: FeatureFile, *, k: int) -> Matches:
    """Find the k best matches of all queries, and show the progress of a long search."""
    starts = range(0, len(query.features), QUERIES_AT_ONCE)
    parts = [
        gallery.search(chosen_rows(query, range(len(query.features))[start : start + QUERIES_AT_ONCE]), k=k)
        for start in track(starts, total=len(starts), description="search", unit=f"{QUERIES_AT_ONCE} queries")
    ]
    return Matches(
        np.concatenate([part.rows for part in parts]), np.concatenate([part.distances for part in parts])
    )


def triple_names(file: FeatureFile) -> list[str]:
    """Name each triple by the path of its first image, without the folder that all of them share."""
    paths = [next(filter(None, each), "") for each in file.paths]
    named = list(filter(None, paths))
    shared = ""
    with suppress(ValueError):  # whole and relative paths, or two drives, share nothing
        folder = os.path.commonpath([str(Path(edge(named)).parent) for edge in (min, max)])
        shared = folder.rstrip(os.sep) + os.sep
    return [printable(path.removeprefix(shared)) if path else f"row {row}" for row, path in enumerate(paths)]


def matches_text(gallery: Gallery, query: FeatureFile, found: Matches) -> str:
    """Write the matches of the first `MOST_PRINTED` queries as aligned text, and how often the first one is right."""
    lines, query_names, gallery_names = [], triple_names(query), triple_names(gallery.file)
    for place in range(min(len(found.rows), MOST_PRINTED)):
        rows = found_rows(found.rows[place])
        lines.append(f"{query_names[place]}{_identity(query, place)}")
        cells = [
            (str(rank), f"{distance:.4f}", WORDS[right], _number(gallery.file.pids[row]),
             _number(gallery.file.camids[row]), shorten(gallery_names[row], LONGEST_NAME))
            for rank, (row, distance, right) in enumerate(
                zip(rows, found.distances[place], gallery.judge(int(query.pids[place]), rows), strict=False), start=1
            )
        ]  # fmt: skip
        lines += (
            _aligned([("rank", "distance", "", "pid", "camid", "name"), *cells]) if cells else ["  no match"]
        )
        lines.append("")
    if (more := len(found.rows) - MOST_PRINTED) > 0:
        lines.append(f"{more:,} more queries are not printed")
    if told := first_right(gallery, query, found):
        lines.append(told)
    return "\n".join(lines).rstrip()


def first_right(gallery: Gallery, query: FeatureFile, found: Matches) -> str | None:
    """Say of how many queries the first match is right, of those whose pid the gallery has; None if there is none."""
    known = (query.pids >= 0) & np.isin(query.pids, gallery.file.pids) & (found.rows[:, 0] >= 0)
    if not known.any():
        return None
    right = int((gallery.file.pids[found.rows[known, 0]] == query.pids[known]).sum())
    return (
        f"the first match is right for {right:,} of {int(known.sum()):,} queries whose pid is in the gallery"
    )


def matches_csv(gallery: Gallery, query: FeatureFile, found: Matches) -> str:
    """Write all matches of all queries as CSV, a row for each; what is unknown is an empty cell."""
    modalities, query_names = gallery.file.modalities, triple_names(query)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [
        "query_row",
        "query",
        "query_pid",
        "query_camid",
        "rank",
        "distance",
        "right",
        "row",
        "pid",
        "camid",
    ]
    writer.writerow([*names, *modalities])
    for place, (line, distances) in enumerate(zip(found.rows, found.distances, strict=True)):
        rows = found_rows(line)
        asked = [place, query_names[place], _number(query.pids[place]), _number(query.camids[place])]
        judged = gallery.judge(int(query.pids[place]), rows)
        for rank, (row, distance, right) in enumerate(zip(rows, distances, judged, strict=False), start=1):
            numbers = [int(row), _number(gallery.file.pids[row]), _number(gallery.file.camids[row])]
            judgement = "" if right is None else int(right)
            writer.writerow([*asked, rank, f"{distance:.6f}", judgement, *numbers, *gallery.file.paths[row]])
    return text.getvalue()


def draw_matches(gallery: Gallery, query: FeatureFile, found: Matches, path: Path, *, title: str) -> Drawn:
    """Draw the first `MOST_DRAWN` queries with their first matches, grey where an image cannot be read."""
    query_images, gallery_images = FileImages(query), FileImages(gallery.file)
    size = gallery_images.size()
    names, lists, num_absent = triple_names(query), [], 0
    for place in range(min(len(found.rows), MOST_DRAWN)):
        rows = found_rows(found.rows[place])[:MOST_DRAWN_MATCHES]
        shown, absent = query_images.triple(place, size)
        triples = [gallery_images.triple(int(row), size) for row in rows]
        num_absent += absent + sum(number for _, number in triples)
        lists.append(
            RankingList(
                heading=shorten(names[place], LONGEST_HEADING),
                query=shown,
                query_lines=_lines(query, place),
                matches=np.array([pixels for pixels, _ in triples], np.uint8).reshape(-1, *shown.shape),
                match_lines=[
                    [*_lines(gallery.file, int(row)), f"{distance:.3f}"]
                    for row, distance in zip(rows, found.distances[place], strict=False)
                ],
                correct=gallery.judge(int(query.pids[place]), rows),
            )
        )
    with writing(path):
        ranking_figure(lists, path, modalities=gallery.file.modalities, title=title)
    return Drawn(len(lists), num_absent)


def _lines(file: FeatureFile, row: int) -> list[str]:
    numbers = {"pid": file.pids[row], "cam": file.camids[row]}
    return [
        f"{name} {shorten(str(number), LONGEST_NUMBER)}" for name, number in numbers.items() if number >= 0
    ]


def _identity(file: FeatureFile, row: int) -> str:
    known = [
        f"{name} {number}"
        for name, number in (("pid", file.pids[row]), ("camid", file.camids[row]))
        if number >= 0
    ]
    return f" ({', '.join(known)})" if known else ""


def _number(number: Any) -> str:
    return str(number) if number >= 0 else ""


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    """Align columns: numbers to the right, words to the left; a column that is empty in all rows is left out."""
    kept = [place for place in range(len(cells[0])) if any(row[place] for row in cells[1:])]
    widths = {place: max(len(row[place]) for row in cells) for place in kept}
    words = {2, len(cells[0]) - 1}
    return [
        "  " + "  ".join(
            row[place].ljust(widths[place]) if place in words else row[place].rjust(widths[place]) for place in kept
        ).rstrip()
        for row in cells
    ]  # fmt: skip
