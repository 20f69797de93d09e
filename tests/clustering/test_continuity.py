"""Clusters that keep their numbers from epoch to epoch."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from man_jax.clustering.continuity import continue_numbers

CAPACITY = 4
labellings = st.lists(st.integers(-1, CAPACITY - 1), min_size=12, max_size=12).map(np.array)


def by_trying_all(labels, last, least_shared: float) -> tuple[int, list[set[int]]]:
    """The most samples that a matching shares, and the last clusters that may be called the same as each cluster."""
    now, before = ([set(np.flatnonzero(each == c)) for c in range(CAPACITY)] for each in (labels, last))
    most = max(
        sum(len(now[i] & before[j]) for i, j in enumerate(order)) for order in permutations(range(CAPACITY))
    )
    same = [
        {
            j
            for j, other in enumerate(before)
            if members & other and len(members & other) >= least_shared * len(members | other)
        }
        for members in now
    ]
    return most, same


@given(labellings, labellings, st.sampled_from([0.2, 0.5, 0.9]))
def test_as_many_samples_as_possible_keep_their_number_and_only_like_clusters_are_called_the_same(
    labels, last, least_shared
):
    found = continue_numbers(labels, last, capacity=CAPACITY, least_shared=least_shared)
    most, same = by_trying_all(labels, last, least_shared)
    assert ((found.labels == last) & (last >= 0)).sum() == most
    for old in np.unique(labels[labels >= 0]):
        [new] = np.unique(found.labels[labels == old])
        assert found.kept[new] == (new in same[old])
    np.testing.assert_array_equal(found.labels < 0, labels < 0)


@given(labellings, labellings)
def test_clusters_only_change_their_names(labels, last):
    renamed = continue_numbers(labels, last, capacity=CAPACITY).labels
    pairs = set(zip(labels.tolist(), renamed.tolist(), strict=True))
    assert len({old for old, _ in pairs}) == len({new for _, new in pairs}) == len(pairs)


@given(labellings)
def test_a_clustering_that_is_only_renamed_goes_on_whole(labels):
    found = continue_numbers(np.where(labels < 0, -1, (labels + 1) % CAPACITY), labels, capacity=CAPACITY)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(found.kept, np.isin(np.arange(CAPACITY), labels))


def test_nothing_goes_on_from_nothing():
    labels = np.arange(12) % CAPACITY
    found = continue_numbers(labels, np.full(12, -1), capacity=CAPACITY)
    assert not found.kept.any()
    assert found.labels.dtype == np.int32


@pytest.mark.parametrize(("least_shared", "kept"), [(0.5, True), (0.51, False)])
def test_two_clusters_are_the_same_from_a_share_of_common_samples_on(least_shared, kept):
    last, labels = np.array([0, 0, 0, 1, -1]), np.array([1, 1, -1, -1, 1])  # two of four are common
    found = continue_numbers(labels, last, capacity=2, least_shared=least_shared)
    assert found.kept.tolist() == [kept, False]
    np.testing.assert_array_equal(found.labels, [0, 0, -1, -1, 0])
