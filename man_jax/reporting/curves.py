"""Curves over a run's epochs, as in Fig. 3 and 6."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from man_jax.reporting.canvas import DPI, save_figure

ACCURACIES = {
    "labels/accuracy_R": "RGB",
    "labels/accuracy_N": "NIR",
    "labels/accuracy_T": "thermal",
    "labels/accuracy_F": "fused",
    "labels/accuracy_settled": "all, after CPA",
    "labels/accuracy_reliable": "reliable, after CPA",
}
RETRIEVAL = {"eval/mAP": "mAP", "eval/R1": "R1"}
STYLES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 1)))
"""Lines differ by dash as well as by colour."""

Series = tuple[list[int], list[float]]
Row = Mapping[str, Any]


def curves_figure(history: Iterable[Row], path: str | os.PathLike[str]) -> None:
    """Draw what a run's rows tell over its epochs as small multiples, and write a PNG atomically.

    Retrieval on the target against the level before adaptation, the pseudo-labels' accuracy by modality, the share
    of reliable samples, then every loss term: first of the adaptation, one panel each, then of the pre-training
    in one. A panel without figures is left out; of several rows of an epoch the last one counts.

    Args:
        history: rows as `read_history` gives them, with "epoch" and "phase" (pretrain or adapt).
        path: where the PNG goes; the folder is made.

    Raises:
        ValueError: no row has a figure to draw.
    """
    rows = list(history)
    pretrain = [row for row in rows if row.get("phase") == "pretrain"]
    adapt = [row for row in rows if row.get("phase") == "adapt"]
    panels = [
        ("retrieval on the target", _named_series(adapt, RETRIEVAL)),
        ("accuracy of the pseudo-labels", _named_series(adapt, ACCURACIES)),
        ("share of reliable samples", _named_series(adapt, {"labels/reliable": "reliable"})),
        *((f"loss: {name}", {name: series}) for name, series in _losses(adapt).items()),
        ("losses of the pre-training", _losses(pretrain)),
    ]
    panels = [(title, curves) for title, curves in panels if curves]
    if not panels:
        raise ValueError(
            f"none of the {len(rows)} rows of history has a figure to draw, so there are no curves"
        )
    num_columns = min(3, len(panels))
    num_rows = math.ceil(len(panels) / num_columns)
    figure = Figure(figsize=(4.4 * num_columns, 2.9 * num_rows), dpi=DPI, layout="constrained")
    places = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for place, (title, curves) in zip(places, panels, strict=False):
        _draw_curves(place, title, curves, percent=not title.startswith("loss"))
    if panels[0][0] == "retrieval on the target":
        _draw_source_only_level(places[0], pretrain, list(panels[0][1]))
    for place in places[len(panels) :]:
        place.set_axis_off()
    save_figure(figure, path)


def _series(rows: Iterable[Row], key: str) -> Series:
    """Epochs and values of one key, where it is there and not null; the last row of an epoch counts."""
    values = {row["epoch"]: row[key] for row in rows if row.get(key) is not None and "epoch" in row}
    return sorted(values), [values[epoch] for epoch in sorted(values)]


def _named_series(rows: Sequence[Row], names: Mapping[str, str]) -> dict[str, Series]:
    curves = {label: _series(rows, key) for key, label in names.items()}
    return {label: series for label, series in curves.items() if series[0]}


def _losses(rows: Sequence[Row]) -> dict[str, Series]:
    """Every loss term by its name for people, in the order of first appearance."""
    keys = dict.fromkeys(key for row in rows for key in row if key.startswith("loss/"))
    return _named_series(rows, {key: key.removeprefix("loss/").replace("_", " ") for key in keys})


def _draw_curves(place: Axes, title: str, curves: Mapping[str, Series], *, percent: bool) -> None:
    for number, (label, (epochs, values)) in enumerate(curves.items()):
        shown = [100 * value for value in values] if percent else values
        marker = "o" if len(epochs) <= 15 else None  # one epoch alone must be visible, forty must not clutter
        style = STYLES[number % len(STYLES)]
        place.plot(epochs, shown, label=label, linestyle=style, marker=marker, markersize=3, linewidth=1.6)
    place.set_title(title, fontsize=10, loc="left")
    place.set_xlabel("epoch", fontsize=9)
    place.set_ylabel("%" if percent else "", fontsize=9)
    place.tick_params(labelsize=8)
    place.xaxis.set_major_locator(MaxNLocator(integer=True))
    place.grid(alpha=0.3)
    place.spines[["top", "right"]].set_visible(False)
    if len(curves) > 3:  # too many to find a free corner
        place.legend(fontsize=7.5, frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    elif len(curves) > 1:
        place.legend(fontsize=7.5, framealpha=0.85)


def _draw_source_only_level(place: Axes, pretrain: Sequence[Row], labels: Sequence[str]) -> None:
    """A dashed level for each drawn curve: its last value before the adaptation began."""
    before = _named_series(pretrain, RETRIEVAL)
    for line in list(place.get_lines()):
        label = str(line.get_label())
        if label in labels and label in before:
            level = 100 * before[label][1][-1]
            place.axhline(level, color=line.get_color(), linestyle=(0, (4, 3)), linewidth=1.1, alpha=0.8)
            place.annotate(
                f"{label}, source only",
                (1, level),
                xycoords=("axes fraction", "data"),
                xytext=(-2, 2),
                textcoords="offset points",
                ha="right",
                va="bottom",
                fontsize=7,
                color=line.get_color(),
            )
