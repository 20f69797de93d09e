"""How far the figures of a ranking vary if other identities had been asked for (NumPy, on the host).

Source: Efron and Tibshirani, "An introduction to the bootstrap", 1993: the percentile interval, of clusters. A cluster
is a query identity, because queries of one identity succeed and fail together.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from man_jax.retrieval.ranking import QueryFigures

SHARE = 0.95
"""Of the draws, the share that lies within an interval."""
BLOCK_ENTRIES = 1_000_000
"""How many counts [draws, identities] a block holds at once."""


class Interval(NamedTuple):
    """The median of a figure over the draws, and the ends of its interval."""

    median: float
    low: float
    high: float


def bootstrap_intervals(
    figures: QueryFigures, query_pids: ArrayLike, *, draws: int, rng: np.random.Generator
) -> dict[str, Interval]:
    """Draw the query identities anew, `draws` times, and give the intervals of mAP and R1 over the draws.

        draw = as many identities as there are, with replacement
        mAP  = sum over the identities drawn of the AP of all their queries / number of these queries

    Only valid queries count, and identities that have one. Generators of one state draw the same identities, so two
    rankings of the same queries can be compared draw by draw.

    Raises:
        ValueError: less than two identities have a valid query, or `draws` is below 1.
    """
    if draws < 1:
        raise ValueError(f"draws is {draws}; draw at least once")
    valid = figures.valid
    identities, place = np.unique(np.asarray(query_pids)[valid], return_inverse=True)
    if len(identities) < 2:
        raise ValueError(
            f"{len(identities)} identities have a query with a match, so there is nothing to draw from; an interval "
            f"needs at least 2"
        )
    values = {"mAP": figures.average_precision[valid], "R1": (figures.first_rank[valid] == 1).astype(float)}
    sizes = np.bincount(place)
    sums = np.stack([np.bincount(place, each) for each in values.values()], axis=1).astype(float)
    drawn = _draws(sums, sizes, draws, rng)
    low, median, high = np.quantile(drawn, [(1 - SHARE) / 2, 0.5, (1 + SHARE) / 2], axis=0)
    return {name: Interval(*map(float, ends)) for name, *ends in zip(values, median, low, high, strict=True)}


def _draws(
    sums: NDArray[np.floating], sizes: NDArray[np.integer], draws: int, rng: np.random.Generator
) -> NDArray[np.floating]:
    """Average the figures [I, F], summed over each identity's queries, over the queries of each draw: [draws, F]."""
    num_identities = len(sizes)
    chances = np.full(num_identities, 1.0 / num_identities)
    height = max(1, BLOCK_ENTRIES // num_identities)
    found = []
    for start in range(0, draws, height):
        # How often each identity is drawn, instead of the list of those drawn.
        counts = rng.multinomial(num_identities, chances, size=min(height, draws - start)).astype(float)
        found.append((counts @ sums) / (counts @ sizes)[:, None])
    return np.concatenate(found)
