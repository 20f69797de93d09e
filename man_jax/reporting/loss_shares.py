"""Draw the terms of the loss, each times its weight, stacked so that together they are the total."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from man_jax.reporting.panels import add_legend, begin_panel
from man_jax.reporting.scales import loss_limits, set_epochs, set_heights
from man_jax.reporting.series import Row, Series, series_of

TOTAL = "loss/total"
TERMS = {
    "identity_source": ("identity, source (Eq. 22)", "#0072b2"),
    "triplet_source": ("triplet, source (Eq. 22)", "#56b4e9"),
    "identity_target": ("identity, target (Eq. 22)", "#d55e00"),
    "triplet_target": ("triplet, target (Eq. 22)", "#f3a76b"),
    "memory": ("XBM", "#f0e442"),
    "domain_intra": ("PDA, intra (Eq. 14)", "#004d40"),
    "domain_inter": ("PDA, inter (Eq. 15)", "#1fa187"),
    "modality": ("MMA (Eq. 20)", "#cc79a7"),
}
"""The label (with the equation's number) and the colour of each term of methods/man.py, by the term's name."""
OTHERS = ("#7f7f7f", "#b0b0b0", "#505050", "#cfcfcf")
EDGE, MOST_PARTED = "white", 30


class LastTerm(NamedTuple):
    """A term of the loss in the last epoch."""

    label: str
    weight: float
    weighted: float
    """Its value times the weight."""
    share: float
    """What it is of the whole, from 0 to 1."""


def has_losses(rows: Sequence[Row]) -> bool:
    """Tell whether any term of the loss, or the total, has a value."""
    keys = {key for row in rows for key in row if key.startswith("loss/")}
    return any(series_of(rows, key).finite for key in keys)


def draw_losses(
    place: Axes, *, title: str, whole: str, rows: Sequence[Row], weights: Mapping[str, float]
) -> None:
    """Stack the weighted terms of each epoch as bars from 0, and mark the total.

    The legend has the value of each in the last epoch and its share of all, weights other than 1 written before it.
    Negative terms go down from 0. `whole` is the label of the total.
    """
    terms, total = weighted_terms(rows, weights), series_of(rows, TOTAL)
    epochs = sorted({epoch for series in [*terms.values(), total] for epoch in series.epochs})
    width = 0.78 if len(epochs) <= MOST_PARTED else 1.0
    up, down = dict.fromkeys(epochs, 0.0), dict.fromkeys(epochs, 0.0)
    last = max((series.epochs[-1] for series in terms.values()), default=0)
    height_of_last = sum(abs(value) for series in terms.values() if math.isfinite(value := _at(series, last)))
    for number, (name, series) in enumerate(terms.items()):
        label, colour = TERMS.get(name, (name.replace("_", " "), OTHERS[number % len(OTHERS)]))
        heights = [value if math.isfinite(value) else 0.0 for value in series.values]
        bottoms = [
            (up if height >= 0 else down)[epoch] for epoch, height in zip(series.epochs, heights, strict=True)
        ]
        place.bar(
            series.epochs,
            heights,
            width,
            bottom=bottoms,
            color=colour,
            edgecolor=EDGE,
            linewidth=0.5 if len(epochs) <= MOST_PARTED else 0,
            label=_described(label, weights.get(name, 1.0), _at(series, last), height_of_last),
        )
        for epoch, height in zip(series.epochs, heights, strict=True):
            (up if height >= 0 else down)[epoch] += height
    if total.finite:
        marker = "D" if len(epochs) <= MOST_PARTED else None
        label = _described(whole, 1.0, total.values[-1], 0.0)
        place.plot(*total, color="black", linewidth=1, marker=marker, markersize=3, label=label, zorder=4)
    broken = [epoch for series in [*terms.values(), total] for epoch in series.broken]
    begin_panel(place, title, broken)
    set_epochs(place, epochs)
    set_heights(place, loss_limits(list(down.values()), [*up.values(), *total.finite]), unit="")
    add_legend(place, columns=2 if len(terms) > 3 else 1)


def weighted_terms(rows: Sequence[Row], weights: Mapping[str, float]) -> dict[str, Series]:
    """Multiply each term of the loss by its weight, in the order of `TERMS`, then those of other names."""
    names = dict.fromkeys(key.removeprefix("loss/") for row in rows for key in row if key.startswith("loss/"))
    ordered = [*(name for name in TERMS if name in names), *(name for name in names if name not in TERMS)]
    found = {name: series_of(rows, f"loss/{name}") for name in ordered if name != "total"}
    return {name: series.scaled(weights.get(name, 1.0)) for name, series in found.items() if series.finite}


def last_terms(rows: Sequence[Row], weights: Mapping[str, float]) -> list[LastTerm]:
    """Give the terms of the last epoch, each times its weight, and what each is of the sum of their sizes."""
    last = {name: series.values[-1] for name, series in weighted_terms(rows, weights).items()}
    whole = sum(map(abs, last.values())) or 1.0
    return [
        LastTerm(
            TERMS.get(name, (name.replace("_", " "), ""))[0],
            weights.get(name, 1.0),
            value,
            abs(value) / whole,
        )
        for name, value in last.items()
    ]


def _at(series: Series, epoch: int) -> float:
    return dict(zip(*series, strict=True)).get(epoch, math.nan)


def _described(label: str, weight: float, value: float, whole: float) -> str:
    """Write an entry of the legend, such as "MMA (Eq. 20) × 0.8: 8.8, 21 %"; `value` is weighted."""
    factor = "" if weight == 1 else f" × {weight:g}"
    if not math.isfinite(value):
        return f"{label}{factor}: not finite at last"
    share = f", {100 * abs(value) / whole:.0f} %" if whole else ""
    return f"{label}{factor}: {value:.3g}{share}"
