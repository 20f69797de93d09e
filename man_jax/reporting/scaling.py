"""Draw how the least time of a step, and its triples a second, change with the number of chips."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from man_jax.reporting.curves import COLOURS, MARKERS
from man_jax.reporting.panels import begin_panel
from man_jax.reporting.save_figure import DPI

SIZE = (10.0, 8.4)
"""Inches."""
IDEAL = "#999999"


class Point(NamedTuple):
    """A step on so many chips."""

    chips: int
    milliseconds: float
    rate: float
    """Triples a second."""
    compiled: bool
    """Whether what it moves is known from a compiled program; otherwise only its arithmetic is."""


Lines = Mapping[str, Sequence[Point]]
Ideal = Callable[[float], float]


def draw_scaling(weak: Lines, strong: Lines, *, title: str) -> Figure:
    """Draw four panels: least step and triples/s, for the same triples a chip and for the same triples in all.

    The name of a line begins with the chip, "h100, 32"; a chip has one colour in all panels.
    """
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    kinds = sorted({_kind(name) for name in (*weak, *strong)})
    colours = {kind: COLOURS[number % len(COLOURS)] for number, kind in enumerate(kinds)}
    places = figure.subplots(2, 2)
    for row, (kind, lines) in zip(places, (("a chip", weak), ("in all", strong)), strict=True):
        same = f"the same triples {kind}"
        step: Ideal = (lambda _: 1.0) if kind == "a chip" else (lambda times: 1 / times)
        _draw(row[0], lines, f"{same}: least step, ms", lambda point: point.milliseconds, step, colours)
        _draw(
            row[1],
            lines,
            f"{same}: triples/s at most",
            lambda point: point.rate,
            lambda times: times,
            colours,
        )
        if lines:
            row[1].legend(
                title=f"chip, triples of a domain {kind}",
                title_fontsize=8,
                fontsize=8,
                frameon=False,
                loc="center left",
                bbox_to_anchor=(1.0, 0.5),
            )
    marks = [
        Line2D([], [], marker="o", linestyle="", color="black", label="compiled program, time estimated"),
        Line2D(
            [],
            [],
            marker="o",
            linestyle="",
            color="black",
            markerfacecolor="white",
            label="traced only: arithmetic alone, always ideal",
        ),
        Line2D([], [], linestyle=":", color=IDEAL, label="ideal of a compiled line"),
    ]
    figure.legend(handles=marks, loc="outside lower left", ncols=3, fontsize=8, frameon=False)
    return figure


def _kind(name: str) -> str:
    """Take the kind of chip from the name of a line, the first one of several."""
    return name.partition(",")[0].partition(" and ")[0]


def _draw(
    place: Axes,
    lines: Lines,
    title: str,
    value: Callable[[Point], float],
    ideal: Ideal,
    colours: Mapping[str, str],
) -> None:
    """Draw a panel; `ideal`: the factor by which the value changes on so many times the chips if nothing is lost."""
    begin_panel(place, title, [])
    chips: set[int] = set()
    before: dict[str, int] = {}
    for name, points in lines.items():
        kind = _kind(name)
        marker = MARKERS[before.setdefault(kind, 0) % len(MARKERS)]
        before[kind] += 1
        colour = colours[kind]
        traced = not all(point.compiled for point in points)
        numbers = [point.chips for point in points]
        values = [value(point) for point in points]
        chips.update(numbers)
        place.plot(
            numbers,
            values,
            label=name,
            color=colour,
            linewidth=0.9 if traced else 1.6,
            linestyle="--" if traced else "-",
            marker=marker,
            markersize=5 if traced else 7,
            markerfacecolor="white" if traced else colour,
        )
        growth = [values[0] * ideal(each / numbers[0]) for each in numbers]
        if not traced:
            place.plot(numbers, growth, linestyle=":", color=IDEAL, linewidth=1, zorder=1)
    place.set_xscale("log", base=2)
    place.set_yscale("log")
    place.set_xlabel("chips", fontsize=9)
    if chips:
        place.xaxis.set_major_locator(FixedLocator(sorted(chips)))
    place.xaxis.set_minor_locator(NullLocator())
    place.xaxis.set_major_formatter(FuncFormatter(lambda each, _: f"{each:.0f}"))
    place.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    place.yaxis.set_major_formatter(FuncFormatter(lambda each, _: f"{each:,g}"))
    place.yaxis.set_minor_locator(NullLocator())
