"""How the cost of each part grows with its work: python -m benchmarks.growth [--only ranking,bank].

All sizes of a part take turns, and the median of the times is compared with a theory's cost. The exponent is the slope
of log time over the log of that cost, by least squares: 1 is as the theory says, below 1 better. The program fails if
an exponent is above 1 + TOLERANCE, or that between the two largest sizes alone is above 1 + OF_TWO, because what does
not grow hides growth at small sizes. The tolerances are for caches, which are faster for small arrays, and for noise.
With all parts it draws docs/images/growth.png.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmarks.growth_curves import Curve, curves
from benchmarks.turns import report, take_turns
from man_jax.reporting.curves import COLOURS
from man_jax.reporting.panels import begin_panel
from man_jax.reporting.save_figure import DPI, save_figure

PICTURE = Path(__file__).parents[1] / "docs/images/growth.png"
TOLERANCE, OF_TWO = 0.25, 0.5
COLUMNS = 4


class Measured(NamedTuple):
    """A curve with its times: the seconds of each round at each size."""

    curve: Curve
    seconds: list[list[float]]

    @property
    def exponent(self) -> float:
        """The slope of log time over log theory."""
        return self.exponent_of_last(len(self.seconds))

    def exponent_of_last(self, number: int) -> float:
        """Give the slope over so many of the largest sizes."""
        theory = np.log([self.curve.theory(size) for size in self.curve.sizes[-number:]])
        return float(np.polyfit(theory, np.log([median(each) for each in self.seconds[-number:]]), 1)[0])

    @property
    def is_worse(self) -> bool:
        """Tell whether the time grows faster than the theory allows."""
        return self.exponent > 1 + TOLERANCE or self.exponent_of_last(2) > 1 + OF_TWO


def measure(curve: Curve, *, rounds: int) -> Measured:
    """Time all sizes of a curve in turn."""
    ways = {f"{size:,}": curve.prepare(size) for size in curve.sizes}
    seconds = take_turns(ways, rounds=rounds)
    measured = Measured(curve, [*seconds.values()])
    report(
        f"growth: {curve.title}, {curve.axis}",
        seconds,
        ours=next(iter(seconds)),
        theory=curve.formula,
        exponent=measured.exponent,
        exponent_of_the_last_two=measured.exponent_of_last(2),
    )
    return measured


def draw(found: Mapping[str, Measured]) -> Figure:
    """Draw each curve over its size, both logarithmic, with the theory through the largest size."""
    rows = -(-len(found) // COLUMNS)
    figure = Figure(figsize=(3.1 * COLUMNS, 3.1 * rows), dpi=DPI, layout="constrained")
    places = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for place, measured in zip(places, found.values(), strict=False):
        _draw_panel(place, measured)
    for place in places[len(found) :]:
        place.set_axis_off()
    return figure


def _draw_panel(place: Axes, measured: Measured) -> None:
    curve, sizes = measured.curve, np.asarray(measured.curve.sizes, float)
    middle = np.array([median(each) for each in measured.seconds])
    low, high = (np.array([limit(each) for each in measured.seconds]) for limit in (min, max))
    begin_panel(place, curve.title, [])
    theory = np.array([curve.theory(size) for size in curve.sizes])
    # Through the largest size, where what does not grow counts least.
    place.plot(
        sizes, middle[-1] * theory / theory[-1], "--", color="#777777", label=f"theory: ∝ {curve.formula}"
    )
    place.errorbar(
        sizes,
        middle,
        (middle - low, high - middle),
        color=COLOURS[0],
        marker="o",
        markersize=4.5,
        capsize=2.5,
        label=f"measured, exponent {measured.exponent:.2f}",
    )
    place.set(xscale="log", yscale="log")
    place.set_xlabel(curve.axis, fontsize=9)
    place.set_ylabel("seconds", fontsize=9)
    place.set_xticks(sizes, [_written(size) for size in sizes])
    place.xaxis.set_minor_locator(NullLocator())
    place.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    place.yaxis.set_minor_locator(NullLocator())
    place.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    place.legend(fontsize=8, frameon=False, loc="upper left")
    bottom, top = place.get_ylim()
    place.set_ylim(bottom, top * (top / bottom) ** 0.35)  # room for the legend


def _written(size: float) -> str:
    """Write a size shortly: 16M, 8k, 512."""
    for unit, name in ((2**20, "M"), (2**10, "k")):
        if size >= unit and size % unit == 0:
            return f"{size / unit:.0f}{name}"
    return f"{size:.0f}"


def main(flags: argparse.Namespace) -> None:
    """Measure, draw, and check."""
    every = curves()
    chosen = flags.only.split(",") if flags.only else [*every]
    found = {name: measure(every[name], rounds=flags.rounds) for name in chosen}
    if not flags.only or flags.picture != PICTURE:
        save_figure(draw(found), flags.picture)
        print(f"drawn: {flags.picture}")
    worse = [
        f"{name} with {each.exponent:.2f}, {each.exponent_of_last(2):.2f} between the two largest sizes"
        for name, each in found.items()
        if each.is_worse
    ]
    if worse:
        raise SystemExit(f"above 1 + {TOLERANCE}, or 1 + {OF_TWO} between two: {'; '.join(worse)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", default="", help="names of benchmarks/growth_curves.py, separated by commas"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    main(parser.parse_args())
