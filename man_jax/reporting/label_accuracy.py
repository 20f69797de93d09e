"""Draw how right the pseudo-labels are, in the first epoch and in the last one (Fig. 3 and 6)."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from man_jax.reporting.curves import LABELS
from man_jax.reporting.panels import add_legend, begin_panel
from man_jax.reporting.save_figure import DPI
from man_jax.reporting.series import Row, Series, named_series

WIDTH = 0.4
"""Of a bar; the bars of a group are side by side."""
COLOURS = ("#8fb8d8", "#0072b2")


def draw_label_accuracy(history: Sequence[Row]) -> Figure:
    """Draw the accuracy of each modality's labels, of the fusion's and of those after CPA, and the share kept.

    Args:
        history: rows as `read_history` gives them.

    Raises:
        ValueError: no row of the adaptation tells of its labels.
    """
    found = named_series([row for row in history if row["phase"] == "adapt"], LABELS)
    if not found:
        raise ValueError("no epoch tells how right its pseudo-labels were; the target may have no identities")
    figure = Figure(figsize=(7.5, 4.2), dpi=DPI, layout="constrained")
    place = figure.subplots()
    ends = first_and_last(found)
    for number, (epoch, values) in enumerate(ends.items()):
        centres = [each + (number - (len(ends) - 1) / 2) * WIDTH for each in range(len(values))]
        bars = place.bar(centres, values, WIDTH, color=COLOURS[number], label=f"epoch {epoch}")
        place.bar_label(bars, fmt="%.0f", fontsize=7)
    place.set_xticks(range(len(found)), [label.replace(", ", ",\n") for label in found], fontsize=8)
    begin_panel(place, "pseudo-labels: accuracy, and share of reliable ones, in %", [])
    place.set_ylim(0, 105)
    add_legend(place, columns=2)
    return figure


def first_and_last(found: Mapping[str, Series]) -> dict[int, list[float]]:
    """Take the values of the first and the last epoch, in percent, by epoch; one entry if there is one epoch."""
    epochs = sorted({epoch for series in found.values() for epoch in series.epochs})
    return {
        epoch: [100 * dict(zip(*series, strict=True)).get(epoch, 0.0) for series in found.values()]
        for epoch in dict.fromkeys((epochs[0], epochs[-1]))
    }
