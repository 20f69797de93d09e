"""Take the values of one figure from a history, epoch by epoch."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

Row = Mapping[str, Any]


class Series(NamedTuple):
    """The values of a figure, by the epochs in which it was measured; NaN if it was not finite."""

    epochs: list[int]
    values: list[float]

    @property
    def finite(self) -> list[float]:
        """The values that are numbers."""
        return [value for value in self.values if math.isfinite(value)]

    @property
    def broken(self) -> list[int]:
        """The epochs whose value is no number."""
        return [epoch for epoch, value in zip(*self, strict=True) if not math.isfinite(value)]

    def scaled(self, factor: float) -> "Series":
        """Multiply the values by a factor."""
        return Series(self.epochs, [factor * value for value in self.values])


def series_of(rows: Iterable[Row], key: str) -> Series:
    """Collect the epochs and values of one key; the last row of an epoch counts.

    A value of null, which `metrics.jsonl` has for numbers that are not finite, is NaN here. An epoch whose row lacks
    the key is left out, because the figure was not measured then.
    """
    values = {row["epoch"]: _number(row[key]) for row in rows if key in row and "epoch" in row}
    epochs = sorted(values)
    return Series(epochs, [values[epoch] for epoch in epochs])


def named_series(rows: Sequence[Row], names: Mapping[str, str]) -> dict[str, Series]:
    """Collect the series of each key of `names` that has a value, by its name for people."""
    found = {label: series_of(rows, key) for key, label in names.items()}
    return {label: series for label, series in found.items() if series.finite}


def merge_equal(curves: Mapping[str, Series]) -> dict[tuple[str, ...], Series]:
    """Merge series that are the same in every epoch into one, under all their names, in the place of the first."""
    merged: dict[tuple[str, ...], Series] = {}
    for label, series in curves.items():
        names = next((names for names, other in merged.items() if _same(series, other)), None)
        if names is None:
            merged[(label,)] = series
        else:
            merged = {(*key, label) if key == names else key: value for key, value in merged.items()}
    return merged


def lie_close(one: Series, other: Series, distance: float, share: float = 0.25) -> bool:
    """Tell whether two series are nearer than `distance` in such a share of the epochs that both have."""
    values = dict(zip(*other, strict=True))
    gaps = [abs(value - values[epoch]) for epoch, value in zip(*one, strict=True) if epoch in values]
    return bool(gaps) and sum(gap < distance for gap in gaps) >= share * len(gaps)


def _same(one: Series, other: Series) -> bool:
    pairs = zip(one.values, other.values, strict=False)
    return one.epochs == other.epochs and all(
        a == b or (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-9) for a, b in pairs
    )


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else math.nan
