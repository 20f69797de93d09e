"""Draw curves over a run's epochs, as in Fig. 3 and 6: retrieval, pseudo-labels, and the terms of the loss."""

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from man_jax.reporting.loss_shares import draw_losses, has_losses
from man_jax.reporting.panels import add_legend, begin_panel
from man_jax.reporting.save_figure import DPI, replace_missing_glyphs, save_figure, wrap
from man_jax.reporting.scales import percent_limits, set_epochs, set_heights
from man_jax.reporting.series import Row, Series, lie_close, merge_equal, named_series

LABELS = {
    "labels/accuracy_R": "RGB",
    "labels/accuracy_N": "NIR",
    "labels/accuracy_T": "thermal",
    "labels/accuracy_F": "fused",
    "labels/accuracy_settled": "all, after CPA",
    "labels/accuracy_reliable": "reliable, after CPA (Eq. 6)",
    "labels/reliable": "share of reliable (Eq. 6)",
}
RETRIEVAL = {"eval/mAP": "mAP", "eval/R1": "R1"}
BEFORE = {"pretrain": "source only", "start": "at the start"}
"""The name of the figures before adaptation, by the phase that wrote them."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9")
"""The colours of Okabe and Ito, which colour-blind readers can distinguish."""
STYLES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (2, 2)))
MARKERS = "os^Dv*P"
THIN, WIDER, NEAR = 1.4, 2.2, 0.8
"""Widths in points. A line gets wider by WIDER for each later line that comes nearer than NEAR percent, so that the
later line does not hide it."""
MOST_MARKED = 15
PANEL = (5.0, 3.6)
"""Width and height of a panel and its legend, in inches."""

Panel = Callable[[Axes], None]


class Levels(NamedTuple):
    """The figures of retrieval before adaptation, and their name."""

    name: str
    figures: Mapping[str, Series]


def curves_figure(
    history: Iterable[Row],
    path: str | os.PathLike[str],
    *,
    title: str = "",
    weights: Mapping[str, float] | None = None,
) -> None:
    """Draw the curves of a run's rows and write a PNG atomically; see `draw_curves`."""
    save_figure(draw_curves(history, title=title, weights=weights), path)


def draw_curves(
    history: Iterable[Row], *, title: str = "", weights: Mapping[str, float] | None = None
) -> Figure:
    """Draw the curves of a run's rows over its epochs, in at most four panels.

    The panels are: retrieval on the target, with its level before adaptation; the accuracy of the pseudo-labels by
    modality, with the share of reliable samples; and the weighted terms of the loss, stacked, of adaptation and of
    pre-training. A panel without figures is left out. If an epoch has several rows, the last one counts.

    Args:
        history: rows as `read_history` gives them, with "epoch" and "phase" (pretrain, start or adapt; start: a run
            that goes on from adapted weights).
        title: experiment, data and seed; the last figures of retrieval are put below it.
        weights: by the name of a term of the adaptation's loss, its factor in the total (Eq. 23); 1 where there is
            none. Those of the pre-training are all 1.

    Raises:
        ValueError: no row has a figure to draw.
    """
    rows = list(history)
    pretrain = [row for row in rows if row.get("phase") == "pretrain"]
    adapt = [row for row in rows if row.get("phase") == "adapt"]
    levels, factors = _read_levels(rows), weights or {}
    panels: list[Panel] = []
    if retrieval := named_series(adapt, RETRIEVAL):
        panels.append(partial(_draw_retrieval, curves=retrieval, levels=levels))
    if labels := named_series(adapt, LABELS):
        panels.append(partial(_draw_labels, curves=labels))
    for name, whole, its_rows, its_factors in (
        ("weighted losses of the adaptation (below: last epoch)", "total (Eq. 23)", adapt, factors),
        # A method's term may have the name of one of the pre-training, whose factors are all 1.
        ("losses of the pre-training (below: last epoch)", "total (Eq. 21)", pretrain, {}),
    ):
        if has_losses(its_rows):
            panels.append(partial(draw_losses, title=name, whole=whole, rows=its_rows, weights=its_factors))
    if not panels and levels.figures:  # weights of another run, and nothing trained
        panels.append(partial(_draw_retrieval, curves=levels.figures, levels=Levels("", {})))
    if not panels:
        raise ValueError(
            f"none of the {len(rows)} rows of history has a figure to draw, so there are no curves"
        )
    num_columns = min(2, len(panels))
    num_rows = math.ceil(len(panels) / num_columns)
    size = (PANEL[0] * num_columns, PANEL[1] * num_rows + 0.6)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    _write_heading(figure, title, _outcome(adapt, retrieval, levels))
    places = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for place, draw in zip(places, panels, strict=False):
        draw(place)
    for place in places[len(panels) :]:
        place.set_axis_off()
    return figure


def _write_heading(figure: Figure, title: str, outcome: str) -> None:
    width = figure.get_figwidth() - 0.4
    lines = [wrap(replace_missing_glyphs(text), inches=width, size=11) for text in (title, outcome) if text]
    if lines:
        figure.suptitle("\n".join(lines), fontsize=11, x=0.015, ha="left", linespacing=1.4)


def _read_levels(rows: Sequence[Row]) -> Levels:
    """Read the figures of the weights with which adaptation begins."""
    for phase, name in BEFORE.items():
        if found := named_series([row for row in rows if row.get("phase") == phase], RETRIEVAL):
            return Levels(name, found)
    return Levels("", {})


def _outcome(adapt: Sequence[Row], retrieval: Mapping[str, Series], levels: Levels) -> str:
    """Write a line with the last figures of retrieval and those before adaptation."""
    before = ", ".join(f"{label} {_percent(series)}" for label, series in levels.figures.items())
    before = f"{levels.name}: {before}" if before else ""
    if not retrieval:
        return "" if adapt else before
    after = ", ".join(f"{label} {_percent(series)}" for label, series in retrieval.items())
    epoch = max(series.epochs[-1] for series in retrieval.values())
    return f"after epoch {epoch} of the adaptation: {after}" + (f" ({before})" if before else "")


def _percent(series: Series) -> str:
    value = series.values[-1]
    return f"{100 * value:.1f} %" if math.isfinite(value) else "not finite"


def _draw_retrieval(place: Axes, *, curves: Mapping[str, Series], levels: Levels) -> None:
    _draw_lines(place, "retrieval on the target", curves, order=list(RETRIEVAL.values()), merge=False)
    shown = [100 * value for series in curves.values() for value in series.finite]
    for line, (label, series) in zip(list(place.get_lines()), curves.items(), strict=True):
        line.set_label(f"{label}, last: {_percent(series)}")
        if label in levels.figures:
            level = 100 * levels.figures[label].finite[-1]
            shown.append(level)
            place.axhline(
                level,
                color=line.get_color(),
                linestyle=(0, (1, 2)),
                linewidth=1.2,
                label=f"{label}, {levels.name}: {level:.1f} %",
            )
    set_heights(place, percent_limits(shown), unit="%")
    add_legend(place, columns=2)


def _draw_labels(place: Axes, *, curves: Mapping[str, Series]) -> None:
    title = "pseudo-labels: accuracy, and share of reliable ones"
    _draw_lines(place, title, curves, order=list(LABELS.values()), merge=True)
    shown = [100 * value for series in curves.values() for value in series.finite]
    set_heights(place, percent_limits(shown), unit="%")
    add_legend(place, columns=2)


def _draw_lines(
    place: Axes, title: str, curves: Mapping[str, Series], *, order: Sequence[str], merge: bool
) -> None:
    """Draw percentages over epochs, each as its place in `order` says.

    With `merge`, curves that are equal in every epoch become one line with all names: "fused = all, after CPA".
    """
    lines = merge_equal(curves) if merge else {(label,): series for label, series in curves.items()}
    drawn = list(lines.values())
    for number, (names, series) in enumerate(lines.items()):
        look = order.index(names[0])
        covering = sum(lie_close(series, later, NEAR / 100) for later in drawn[number + 1 :])
        place.plot(
            series.epochs,
            series.scaled(100).values,
            label=wrap(" = ".join(names), inches=0.4 * PANEL[0], size=8),
            color=COLOURS[look],
            linestyle=STYLES[look],
            linewidth=THIN + WIDER * covering,
            marker=MARKERS[look] if len(series.epochs) <= MOST_MARKED else None,
            markersize=4.5,
            clip_on=False,  # a line at 0 or 100 is whole
            zorder=2 + 0.1 * number,
        )
    begin_panel(place, title, [epoch for series in curves.values() for epoch in series.broken])
    set_epochs(place, sorted({epoch for series in curves.values() for epoch in series.epochs}))
