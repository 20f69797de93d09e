"""The bootstrap over identities by all draws there are, each of which is equally likely."""

import itertools
from collections.abc import Sequence


def all_draws(values: Sequence[float], pids: Sequence[int]) -> list[float]:
    """The mean over the queries of the identities drawn, of each draw, sorted."""
    identities = sorted(set(pids))
    found = []
    for draw in itertools.product(identities, repeat=len(identities)):
        pooled = [value for pid in draw for value, own in zip(values, pids, strict=True) if own == pid]
        found.append(sum(pooled) / len(pooled))
    return sorted(found)


def share_below(draws: Sequence[float], value: float, *, or_at: bool) -> float:
    """Which share of the draws is below a value, or at it."""
    return sum(draw <= value + 1e-9 if or_at else draw < value - 1e-9 for draw in draws) / len(draws)
