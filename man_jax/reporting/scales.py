"""Choose axes that do not exaggerate: percent within 0 and 100, losses from 0, whole epochs, no offsets."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

LEAST_SPAN = 20.0
"""Percent axes show at least so many points, so that a change of 0.1 looks small."""
STEP = 5.0
FEWEST_EPOCHS, MOST_EPOCHS_NAMED = 4, 9


def percent_limits(values: Sequence[float]) -> tuple[float, float]:
    """Choose limits within 0 and 100, multiples of 5 that are 20 points or more apart, around all `values`."""
    low, high = max(0.0, min(values)), min(100.0, max(values))
    low = max(0.0, STEP * math.floor((low - 1) / STEP))
    high = min(100.0, STEP * math.ceil((high + 1) / STEP))
    while high - low < LEAST_SPAN:
        low, high = max(0.0, low - STEP), min(100.0, high + STEP)
    return low, high


def loss_limits(lows: Sequence[float], highs: Sequence[float]) -> tuple[float, float]:
    """Choose limits from 0, or from the lowest sum if terms are negative, to a little above the highest."""
    low, high = min(0.0, *lows), max(0.0, *highs)
    if low == high:
        return 0.0, 1.0
    span = high - low
    return (low - 0.05 * span if low < 0 else 0.0), high + 0.05 * span


def whole_epochs(first: int, last: int) -> list[int]:
    """Choose the whole epochs to name on an axis: all, or multiples of 2, 5, 10, ... so that they are few."""
    count = last - first + 1
    exponent = 0
    while True:
        for digit in (1, 2, 5):
            step = digit * 10**exponent
            if count <= step * MOST_EPOCHS_NAMED:
                return [epoch for epoch in range(first, last + 1) if step == 1 or epoch % step == 0]
        exponent += 1


def set_epochs(place: Axes, epochs: Sequence[int]) -> None:
    """Name whole epochs below the axis, which has room for at least `FEWEST_EPOCHS`; fewer are in its middle."""
    middle, half = (min(epochs) + max(epochs)) / 2, (max(epochs) - min(epochs)) / 2 + 0.6
    half = max(half, FEWEST_EPOCHS / 2)
    place.set_xlim(middle - half, middle + half)
    place.xaxis.set_major_locator(FixedLocator(whole_epochs(min(epochs), max(epochs))))
    place.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    place.set_xlabel("epoch", fontsize=9)


def set_heights(place: Axes, limits: tuple[float, float], *, unit: str) -> None:
    """Fix the limits of the vertical axis and write its numbers in full."""
    place.set_ylim(*limits)
    place.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    place.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    place.set_ylabel(unit, fontsize=9, labelpad=1)
