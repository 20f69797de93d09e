"""Random inputs of a few fixed shapes, so that every example after the first finds its function compiled."""

import numpy as np
from hypothesis import strategies as st

from tests.oracles.geometry import unit_rows

seeds = st.integers(0, 2**32 - 1)


def masks(size: int) -> st.SearchStrategy[np.ndarray]:
    return st.lists(st.booleans(), min_size=size, max_size=size).map(lambda bits: np.array(bits, bool))


def unit_normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Unit vectors in all directions."""
    return unit_rows(rng.normal(size=shape))


def unit_groups(rng: np.random.Generator, *shape: int, spread: float = 0.4) -> np.ndarray:
    """Unit vectors, those of one set [..., N, D] near a direction of their own."""
    middle = rng.normal(size=(*shape[:-2], 1, shape[-1]))
    return unit_rows(unit_rows(middle) + spread * rng.normal(size=shape))
