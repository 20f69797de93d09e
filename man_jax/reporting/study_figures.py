"""Draw the runs of a study: what each row ends at, and how it got there."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from man_jax.reporting.curves import COLOURS, MARKERS, STYLES
from man_jax.reporting.panels import begin_panel
from man_jax.reporting.save_figure import DPI, replace_missing_glyphs
from man_jax.reporting.scales import percent_limits, set_epochs, set_heights
from man_jax.reporting.series import Series

WIDTH, LINE = 9.0, 0.34
"""Inches: the width of a figure, and the height of a row."""


def draw_ends(ends: Mapping[str, Sequence[float]], *, published: Mapping[str, float], of: str) -> Figure:
    """Draw the mAP of each row: a bar for the mean of its runs, a point for each run, a diamond where published.

    Args:
        ends: mAP of the runs of each row, in fractions.
        published: mAP in percent, of the transfer `of`, by row.
    """
    figure = Figure(figsize=(WIDTH, LINE * len(ends) + 1.3), dpi=DPI, layout="constrained")
    place = figure.subplots()
    for number, (name, values) in enumerate(ends.items()):
        percent = 100 * np.asarray(values, float)
        place.barh(number, percent.mean() if len(percent) else 0, height=0.7, color="#8fb8d8")
        place.plot(percent, np.full(len(percent), number), "o", color=COLOURS[0], markersize=4)
        if name in published:
            place.plot(published[name], number, "D", color="none", markeredgecolor=COLOURS[1], markersize=6)
    place.set_yticks(range(len(ends)), [replace_missing_glyphs(name) for name in ends], fontsize=9)
    place.invert_yaxis()
    told = f"; diamonds: published, {of}, other data" if published else ""
    begin_panel(place, f"mAP in %: bars are means, points are runs{told}", [])
    place.set_xlim(0, 100)
    return figure


def draw_ways(ways: Mapping[str, Sequence[Series]]) -> Figure:
    """Draw the mAP of each row over the epochs of its adaptation, the mean of its runs."""
    figure = Figure(figsize=(WIDTH, 5.0), dpi=DPI, layout="constrained")
    place = figure.subplots()
    shown: list[float] = []
    epochs: set[int] = set()
    for number, (name, runs) in enumerate(ways.items()):
        common = sorted(set.intersection(*(set(run.epochs) for run in runs))) if runs else []
        if not common:
            continue
        values = np.mean([[dict(zip(*run, strict=True))[epoch] for epoch in common] for run in runs], axis=0)
        place.plot(
            common,
            100 * values,
            label=replace_missing_glyphs(name),
            color=COLOURS[number % len(COLOURS)],
            linestyle=STYLES[number // len(COLOURS) % len(STYLES)],
            marker=MARKERS[number % len(MARKERS)],
            markersize=4.5,
        )
        shown += (100 * values).tolist()
        epochs.update(common)
    begin_panel(place, "mAP in % by epoch of the adaptation, mean of the runs", [])
    set_epochs(place, sorted(epochs))
    set_heights(place, percent_limits(shown), unit="%")
    place.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
