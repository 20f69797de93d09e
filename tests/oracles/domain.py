"""PDA (Eq. 12-16): every kernel value of every pair. Takes valid rows only: masks are left to the subject."""

import math

import numpy as np

from tests.oracles.geometry import Array, squared_distance

SMALLEST_BANDWIDTH = 1e-4


def mean_squared_distance(x: Array, y: Array) -> float:
    """Over the ordered pairs of distinct rows of x and y taken together."""
    rows = [*x, *y]
    total = sum(squared_distance(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j)
    return total / (len(rows) ** 2 - len(rows))


def gaussian(a: Array, b: Array, bandwidth: float | None) -> float:
    squared = squared_distance(a, b)
    if bandwidth is None:
        return math.exp(-squared / 2)
    return sum(math.exp(-squared / (bandwidth * 2.0 ** (i - 2))) for i in range(5)) / 5


def maximum_mean_discrepancy(
    x: Array, y: Array, kernel: str = "fixed", at: tuple[Array, Array] | None = None
) -> float:
    """`at`: the sets that set the bandwidth if they are not x and y: to the gradient it is a constant."""
    if len(x) == 0 or len(y) == 0:
        return 0.0
    bandwidth = max(mean_squared_distance(*(at or (x, y))), SMALLEST_BANDWIDTH) if kernel == "multi" else None

    def kernel_mean(a: Array, b: Array) -> float:
        return sum(gaussian(p, q, bandwidth) for p in a for q in b) / (len(a) * len(b))

    return kernel_mean(x, x) + kernel_mean(y, y) - 2 * kernel_mean(x, y)


def prototype_domain_loss(
    source: Array,
    target: Array,
    source_prototypes: Array,
    target_prototypes: Array,
    *,
    margin: float = 0.5,
    inter: str = "margin",
    kernel: str = "fixed",
    at: tuple[Array, Array] | None = None,
) -> dict[str, float]:
    base_source, base_target = at or (source, target)
    settings = {"margin": margin, "inter": inter, "kernel": kernel}
    forth = alignment_loss(source, target_prototypes, at=(base_source, target_prototypes), **settings)
    back = alignment_loss(target, source_prototypes, at=(base_target, source_prototypes), **settings)
    return {half: forth[half] + back[half] for half in forth}


def alignment_loss(
    x: Array,
    y: Array,
    *,
    margin: float = 0.5,
    inter: str = "margin",
    kernel: str = "fixed",
    at: tuple[Array, Array] | None = None,
) -> dict[str, float]:
    base_x, base_y = at or (x, y)
    terms = {"intra": 0.0, "inter": 0.0}
    if x.shape[1] == 0 or y.shape[1] == 0:
        return terms
    for i, j in np.ndindex(len(x), len(y)):
        apart = maximum_mean_discrepancy(x[i], y[j], kernel, at=(base_x[i], base_y[j]))
        if i == j:
            terms["intra"] += apart
        elif inter == "margin":
            terms["inter"] += abs(margin - apart)
        elif inter == "plain":
            terms["inter"] += apart
        else:
            terms["inter"] += max(0.0, apart - margin)
    return terms
