"""Measure the raw values of images of more than 8 bits, and advise a `deep_range` that suits them.

A few stuck pixels, blank frames or placeholders must not decide on the range. So the quantiles of all files are pooled,
blank files are left out, and the outermost values count only if they widen the range little.
"""

from collections.abc import Mapping, Sequence

import numpy as np

SHARES = (
    0.0,
    0.001,
    0.005,
    0.02,
    0.05,
    0.1,
    0.2,
    0.3,
    0.4,
    0.5,
    0.6,
    0.7,
    0.8,
    0.9,
    0.95,
    0.98,
    0.995,
    0.999,
    1.0,
)
"""The shares of a file's values at which its quantiles are kept."""
TAIL = 0.005
"""The share of all values that the advised range may leave out on each side."""
GROWTH = 0.25
"""The outermost values are kept if they widen the range on a side by at most this share of it."""
BLANK = 0.02
"""A file is blank if its contrast is below this share of the median file's contrast."""

_LOW, _HIGH = SHARES.index(0.02), SHARES.index(0.98)


def measure_depth(raw: np.ndarray, deep_range: tuple[int, int]) -> tuple[tuple[int, ...], float]:
    """Measure the quantiles of a file's raw values at `SHARES`, and the share of the values that `deep_range` cuts."""
    counts = np.bincount(raw.ravel())
    reached = np.cumsum(counts)
    quantiles = np.searchsorted(reached, np.array(SHARES) * (raw.size - 1), side="right")
    low, high = deep_range
    num_cut = counts[:low].sum() + counts[high + 1 :].sum()
    return tuple(int(value) for value in quantiles), float(num_cut / raw.size)


def advised_range(quantiles: np.ndarray) -> tuple[int, int] | None:
    """Compute the range that suits files with these quantiles, int [N, len(SHARES)]; None if all hold one value."""
    shown = quantiles[~blank_files(quantiles)]
    if not len(shown):
        return None
    low, high = _pooled(shown, TAIL), _pooled(shown, 1 - TAIL)
    room = GROWTH * (high - low)
    low, high = int(shown[shown >= low - room].min()), int(shown[shown <= high + room].max())
    return (low, high) if low < high else None


def share_outside(quantiles: np.ndarray, advised: tuple[int, int]) -> float:
    """Compute the largest share of all values that can be outside of `advised`, without blank files."""
    shown, shares = quantiles[~blank_files(quantiles)], np.array(SHARES)
    num_below, num_above = (shown < advised[0]).sum(axis=1), (shown > advised[1]).sum(axis=1)
    below = np.where(num_below, shares[np.minimum(num_below, len(shares) - 1)], 0)
    above = np.where(num_above, 1 - shares[np.maximum(len(shares) - 1 - num_above, 0)], 0)
    return float(np.mean(below + above))


def blank_files(quantiles: np.ndarray) -> np.ndarray:
    """Find blank files, bool [N]: those with far less contrast than the other files of the set."""
    contrast = quantiles[:, _HIGH] - quantiles[:, _LOW]
    if not len(contrast):
        return np.zeros(0, bool)
    blank = contrast <= BLANK * np.median(contrast)
    # So many files are no accident but have another range; then only files of one value are blank.
    return blank if 3 * blank.sum() < len(blank) else contrast == 0


def odd_groups(
    quantiles: Mapping[str, Sequence[Sequence[int]]],
) -> list[tuple[str, tuple[int, int], tuple[int, int]]]:
    """Find groups, such as cameras, with other values than the rest: (group, its range, the range of the rest).

    That is so if the two ranges have nothing in common, or if one is four times as wide as the other.
    """
    ranges = {
        group: found
        for group, files in quantiles.items()
        if (found := advised_range(np.array(files))) is not None
    }
    # If there are two groups, each is odd beside the other, and the smaller one is named.
    named = [min(ranges, key=lambda group: len(quantiles[group]))] if len(ranges) == 2 else list(ranges)
    odd = []
    for group in named:
        low, high = ranges[group]
        others = [file for other in ranges if other != group for file in quantiles[other]]
        if not others or (rest := advised_range(np.array(others))) is None:
            continue
        widths = sorted((high - low, rest[1] - rest[0]))
        if high < rest[0] or low > rest[1] or widths[1] >= 4 * widths[0]:
            odd.append((group, (low, high), rest))
    return odd


def _pooled(quantiles: np.ndarray, share: float) -> int:
    """Compute the quantile at `share` of all files' values together; each file has the same weight."""
    between = np.diff(np.array(SHARES)) / 2
    weights = np.append(between, 0) + np.append(0, between)
    values, weights = quantiles.ravel(), np.tile(weights, len(quantiles))
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    return int(values[order][min(np.searchsorted(reached, share), len(order) - 1)])
