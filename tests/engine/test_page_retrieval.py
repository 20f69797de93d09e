"""The queries that a page shows."""

import numpy as np
import pytest

from man_jax.engine.page_retrieval import list_queries

PRECISIONS = np.array([0.9, np.nan, 0.1, 0.5, 0.3, 0.7, 0.2, 0.8, 0.6])


def test_a_third_is_the_worst_a_third_the_best_and_none_is_shown_twice():
    found = list_queries(PRECISIONS, number=6, seed=0)
    assert [each[:2] for each in found] == [
        (kind, place) for kind in ("worst", "best", "drawn") for place in (1, 2)
    ]
    assert [index for _, _, index in found[:4]] == [2, 6, 0, 7]
    assert len({index for _, _, index in found}) == 6


def test_a_query_without_a_match_can_only_be_drawn():
    found = list_queries(PRECISIONS, number=9, seed=0)
    assert [kind for kind, _, index in found if index == 1] == ["drawn"]


@pytest.mark.parametrize("number", [1, 2, 9, 50])
def test_there_are_as_many_as_asked_or_all_of_them(number):
    found = list_queries(PRECISIONS, number=number, seed=0)
    assert len(found) == len({index for _, _, index in found}) == min(number, len(PRECISIONS))
