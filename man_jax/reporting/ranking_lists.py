"""Draw ranking lists, as in Fig. 9: a query and its best matches, right and wrong ones."""

import math
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from man_jax.reporting.save_figure import DPI, replace_missing_glyphs, save_figure, width_of, wrap

RIGHT, WRONG = "#1b7837", "#c51b1b"
DASHES = (0, (2.2, 1.4))
DISTANCE = "The number below a match is its cosine distance to the query."
EXPLANATION = f"✓ in a solid frame: the query's identity; ✗ in a dashed frame: another one. {DISTANCE}"

WIDEST_STRIP, HIGHEST_STRIP = 0.8, 2.6
"""The largest size of a triple in inches. A high triple is narrower, but never narrower than the text below it."""
GAP, NAMES = 0.08, 0.2
"""Widths in inches: the gap between two triples, and the column of the modalities' names."""
RANK_LINE, LINE, BELOW = 0.2, 0.125, 0.16
"""Heights in inches: the line above the strips, a line of text below them, and the space below the text."""
NARROWEST = 3.6
TITLE_SIZE, HEADING_SIZE, CAPTION_SIZE = 10.0, 8.5, 7.0
"""Fonts in points; the explanation below the title is as large as a heading."""
BOLD = 1.15
"""A bold letter is at most so many times as wide as a plain one."""


class RankingList(NamedTuple):
    """One query and its best matches; the caller writes all texts."""

    heading: str
    """A heading, such as "best 1 of 120 by AP: AP 98.2 %, 0012_c3.jpg"."""
    query: NDArray[np.uint8]
    """[M, H, W, 3]."""
    query_lines: Sequence[str]
    """The lines below the query, such as its pid and its camera."""
    matches: NDArray[np.uint8]
    """[k, M, H, W, 3], best match first; k may be 0."""
    match_lines: Sequence[Sequence[str]]
    """[k]: the lines below each match."""
    correct: Sequence[bool | None]
    """[k]: whether the match shows the query's object; None if that is unknown, and then it gets no mark."""


class _Layout(NamedTuple):
    """The sizes of one list and of the figure, in inches."""

    strip_width: float
    strip_height: float
    list_width: float
    list_height: float
    heading_height: float
    columns: int
    rows: int
    title_height: float

    @property
    def size(self) -> tuple[float, float]:
        return self.columns * self.list_width + 0.1, self.rows * self.list_height + self.title_height + 0.05


def ranking_figure(
    lists: Sequence[RankingList],
    path: str | os.PathLike[str],
    *,
    modalities: Sequence[str],
    title: str = "",
) -> None:
    """Draw each query with its best matches and write a PNG atomically; see `draw_ranking_lists`."""
    save_figure(draw_ranking_lists(lists, modalities=modalities, title=title), path)


def draw_ranking_lists(lists: Sequence[RankingList], *, modalities: Sequence[str], title: str = "") -> Figure:
    """Draw each query with its best matches, all M modalities stacked.

    A right match has a solid green frame and a tick, a wrong one a dashed red frame and a cross. One of which that is
    unknown has neither.

    Args:
        lists: one for each query; a list may have fewer matches than another, or none.
        modalities: the M names, e.g. "RNT".
        title: the data and the model; an explanation of the marks is put below it.

    Raises:
        ValueError: there is no list, or the shapes of one disagree.
    """
    _check_lists(lists, len(modalities))
    layout = _lay_out(lists, len(modalities), title)
    figure = Figure(figsize=layout.size, dpi=DPI)
    width, height = layout.size
    top = 0.08
    for text, size in _titles(title, width, lists):
        figure.text(0.1 / width, 1 - top / height, text, fontsize=size, va="top", linespacing=1.3)
        top += _height_of(text, size)
    for number, each in enumerate(lists):
        row, column = divmod(number, layout.columns)
        left, top = column * layout.list_width + 0.1, layout.title_height + row * layout.list_height
        _draw_list(figure, each, layout, modalities, left, top)
    return figure


def _check_lists(lists: Sequence[RankingList], num_modalities: int) -> None:
    if not lists:
        raise ValueError("there is no ranking list to draw; give at least one query")
    shape = lists[0].query.shape
    for number, each in enumerate(lists):
        k = len(each.matches)
        found = (each.query.shape, each.matches.shape[1:], len(each.match_lines), len(each.correct))
        if found != (shape, shape, k, k) or shape[0] != num_modalities:
            raise ValueError(
                f"list {number}: query {each.query.shape}, matches {each.matches.shape}, {len(each.match_lines)} lines "
                f"and {len(each.correct)} marks must agree, with {num_modalities} modalities and images of {shape}"
            )


def _lay_out(lists: Sequence[RankingList], num_modalities: int, title: str) -> _Layout:
    height, width = lists[0].query.shape[1:3]
    captions = [lines for each in lists for lines in [each.query_lines, *each.match_lines]]
    written = max(
        (width_of(replace_missing_glyphs(line), CAPTION_SIZE) for lines in captions for line in lines),
        default=0,
    )
    aspect = num_modalities * height / width
    strip_width = max(min(WIDEST_STRIP, HIGHEST_STRIP / aspect), written)
    most = max(1, *(len(each.matches) for each in lists))
    list_width = max(NARROWEST, NAMES + (most + 1) * (strip_width + GAP) + 3 * GAP)
    heading_height = max(_height_of(_heading(each, list_width), HEADING_SIZE) for each in lists)
    below = LINE * max(map(len, captions)) + 0.06 + BELOW
    list_height = heading_height + RANK_LINE + strip_width * aspect + below
    columns = _balanced_columns(len(lists), list_height / list_width)
    titles = _titles(title, columns * list_width + 0.1, lists)
    return _Layout(
        strip_width=strip_width,
        strip_height=strip_width * aspect,
        list_width=list_width,
        list_height=list_height,
        heading_height=heading_height,
        columns=columns,
        rows=math.ceil(len(lists) / columns),
        title_height=sum(_height_of(text, size) for text, size in titles) + 0.16,
    )


def _height_of(text: str, size: float) -> float:
    """Compute the height of a text's lines in inches, at `size` points."""
    return (text.count("\n") + 1) * 1.45 * size / 72


def _titles(title: str, width: float, lists: Sequence[RankingList]) -> list[tuple[str, float]]:
    """Break the title and the explanation into lines, and give their sizes in points."""
    has_marks = any(right is not None for each in lists for right in each.correct)
    has_matches = any(len(each.matches) for each in lists)
    texts = [(title, TITLE_SIZE), (EXPLANATION if has_marks or not has_matches else DISTANCE, HEADING_SIZE)]
    return [
        (wrap(replace_missing_glyphs(text), inches=width - 0.2, size=size), size)
        for text, size in texts
        if text
    ]


def _heading(each: RankingList, list_width: float) -> str:
    return wrap(replace_missing_glyphs(each.heading), inches=list_width - 0.1, size=BOLD * HEADING_SIZE)


def _balanced_columns(num_panels: int, aspect: float) -> int:
    """Choose the columns of panels of height/width `aspect` that bring the figure nearest to a screen's 3:4."""
    candidates = range(1, num_panels + 1)
    return min(candidates, key=lambda n: abs(math.log(math.ceil(num_panels / n) * aspect / n / 0.75)))


def _draw_list(
    figure: Figure, each: RankingList, layout: _Layout, modalities: Sequence[str], left: float, top: float
) -> None:
    """Draw one query's list, whose corner is `left` and `top` inches from that of the figure."""
    width, height = layout.size
    heading = _heading(each, layout.list_width)
    figure.text(left / width, 1 - top / height, heading, fontsize=HEADING_SIZE, fontweight="bold", va="top")
    strips_top = top + layout.heading_height + RANK_LINE

    def strip(number: int) -> Axes:
        x = left + NAMES + number * (layout.strip_width + GAP) + (2 * GAP if number else 0)
        bottom = height - strips_top - layout.strip_height
        return figure.add_axes(
            (x / width, bottom / height, layout.strip_width / width, layout.strip_height / height)
        )

    place = strip(0)
    _draw_triple(place, each.query, each.query_lines)
    place.set_title("query", fontsize=8, pad=3)
    rows = each.query.shape[1]
    place.set_yticks([(m + 0.5) * rows for m in range(len(modalities))], modalities, fontsize=8)
    place.tick_params(length=0)
    for rank, (images, lines, right) in enumerate(
        zip(each.matches, each.match_lines, each.correct, strict=True), start=1
    ):
        place = strip(rank)
        _draw_triple(place, images, lines)
        _judge(place, rank, right=right)
    if not len(each.matches):
        x, y = (left + NAMES + layout.strip_width + 4 * GAP) / width, 1 - (strips_top + 0.3) / height
        figure.text(x, y, "no gallery triple is left", fontsize=8, va="top")


def _draw_triple(place: Axes, images: NDArray[np.uint8], lines: Sequence[str]) -> None:
    """Draw the modalities of one triple [M, H, W, 3] below one another, and the lines below them."""
    place.imshow(np.concatenate(images, axis=0), interpolation="antialiased", aspect="auto")
    place.set_xticks([])
    place.set_yticks([])
    place.set_xlabel(
        "\n".join(map(replace_missing_glyphs, lines)), fontsize=CAPTION_SIZE, labelpad=3, linespacing=1.15
    )


def _judge(place: Axes, rank: int, *, right: bool | None) -> None:
    if right is None:
        place.set_title(f"{rank}", fontsize=9, pad=3)
        return
    colour = RIGHT if right else WRONG
    place.set_title(f"{rank} {'✓' if right else '✗'}", fontsize=9, color=colour, fontweight="bold", pad=3)
    for spine in place.spines.values():
        spine.set(edgecolor=colour, linewidth=2.5, linestyle="-" if right else DASHES)
        if not right:
            spine.set_capstyle("butt")  # others would fill the gaps between the dashes
