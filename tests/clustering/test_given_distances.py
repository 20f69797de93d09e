"""What is refused of given distances, whichever block of them it is in."""

import re

import numpy as np
import pytest

from man_jax.clustering.given_distances import BLOCK_ROWS, check_distances, check_symmetric

N = BLOCK_ROWS + 40


def symmetric() -> np.ndarray:
    rows = np.random.default_rng(0).random((N, N)).astype(np.float32)
    return rows + rows.T


PLACES = [(0, 1), (3, N - 1), (N - 1, 3), (N - 2, N - 1)]


@pytest.mark.parametrize("place", PLACES, ids=str)
@pytest.mark.parametrize("wrong", [-0.5, np.nan, np.inf, -np.inf])
def test_a_number_that_is_no_distance_is_named(place, wrong):
    rows = symmetric()
    check_distances(rows)
    rows[place] = wrong
    i, j = place
    with pytest.raises(
        ValueError, match=re.escape(f"samples {i} and {j} is {np.float32(wrong)}; give finite")
    ):
        check_distances(rows)


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_an_unequal_pair_is_named(place):
    rows = symmetric()
    check_symmetric(rows, rows)
    rows[place] = 7
    i, j = sorted(place)
    with pytest.raises(
        ValueError, match=re.escape(f"d({i}, {j}) is {rows[i, j]} and d({j}, {i}) is {rows[j, i]}; give")
    ):
        check_symmetric(rows, rows)


def test_what_is_read_from_distances_is_compared_and_the_distances_are_named():
    rows = symmetric()
    near = rows < 1
    near[5, 9] = not near[9, 5]
    with pytest.raises(ValueError, match=r"d\(5, 9\) is .* and d\(9, 5\) is .*, read; give symmetric"):
        check_symmetric(near, rows, where=", read")


@pytest.mark.parametrize("shape", [(3,), (3, 4), (2, 2, 2)], ids=str)
def test_distances_of_all_pairs_are_asked_for(shape):
    with pytest.raises(ValueError, match=re.escape(str(shape))):
        check_distances(np.ones(shape))
