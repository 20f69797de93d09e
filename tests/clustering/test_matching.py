"""Clusters matched by the samples that they share, against trying all matchings."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from man_jax.clustering import matching
from man_jax.clustering.matching import contingency_table, match_clusters

NUM_SAMPLES, MOST = 12, 4
sizes = st.tuples(st.integers(1, MOST), st.integers(1, MOST))
ways = pytest.mark.parametrize("table_cells", [0, 2**24], ids=["by pairs", "by a table"])


@st.composite
def clusterings(draw):
    """(one, other, K, L): two clusterings with some samples in no cluster, perhaps with clusters that are empty."""
    num_one, num_other = draw(sizes)
    each = [
        draw(st.lists(st.integers(-1, number - 1), min_size=NUM_SAMPLES, max_size=NUM_SAMPLES))
        for number in (num_one, num_other)
    ]
    return *map(np.array, each), num_one, num_other


def shared_by_sets(one, other, i: int, j: int) -> int:
    return len({*np.flatnonzero(one == i)} & {*np.flatnonzero(other == j)})


def most_shared(one, other, num_one: int, num_other: int) -> int:
    """The most samples that a one-to-one matching shares; of the clustering with fewer clusters all have a partner."""
    if num_one > num_other:
        one, other, num_one, num_other = other, one, num_other, num_one
    return max(
        sum(shared_by_sets(one, other, i, j) for i, j in enumerate(chosen))
        for chosen in permutations(range(num_other), num_one)
    )


@ways
@given(drawn=clusterings())
def test_the_matching_is_one_to_one_and_shares_most_samples(table_cells, drawn):
    one, other, num_one, num_other = drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "TABLE_CELLS", table_cells)
        found = match_clusters(one, other, num_one=num_one, num_other=num_other)
    assert len(found.one) == len(found.other) == min(num_one, num_other)
    assert (np.diff(found.one) > 0).all()
    assert len({*found.other.tolist()}) == len(found.other)
    assert ((found.one < num_one) & (found.other < num_other)).all()
    expected = [shared_by_sets(one, other, i, j) for i, j in zip(found.one, found.other, strict=True)]
    assert found.shared.tolist() == expected
    assert sum(expected) == most_shared(one, other, num_one, num_other)


@ways
def test_clusterings_of_nothing_are_matched_in_their_order(monkeypatch, table_cells):
    monkeypatch.setattr(matching, "TABLE_CELLS", table_cells)
    nothing = np.full(3, -1)
    found = match_clusters(nothing, nothing, num_one=2, num_other=3)
    assert (found.one.tolist(), found.other.tolist(), found.shared.tolist()) == ([0, 1], [0, 1], [0, 0])


def test_many_clusters_are_matched_without_a_table_of_all_pairs():
    number = 30_000  # a table would take 7 GB, and its matching hours
    renamed = np.random.default_rng(0).permutation(number)
    one = np.repeat(np.arange(number), 4)
    other = renamed[one]
    other[::4] = renamed[(one[::4] + 1) % number]
    found = match_clusters(one, other, num_one=number, num_other=number)
    np.testing.assert_array_equal(found.other, renamed)
    assert (found.shared == 3).all()


@given(drawn=clusterings())
def test_contingency_table_counts_shared_samples(drawn):
    one, other, num_one, num_other = drawn
    expected = [[shared_by_sets(one, other, i, j) for j in range(num_other)] for i in range(num_one)]
    table = contingency_table(one, other, num_one=num_one, num_other=num_other)
    assert table.dtype == np.int64
    np.testing.assert_array_equal(table, expected)
