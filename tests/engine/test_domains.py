import numpy as np
import pytest

from data_pipelines.records import DataError
from man_jax.engine.domains import Domain, number_identities, require_labels
from tests.engine.splits import new_dataset, new_split


def domain(pids: list[int]) -> Domain:
    split = new_split(pids)
    return Domain(new_dataset(split, split, split), number_identities(split.pids))


def test_identities_are_numbered_by_sorted_pid():
    assert number_identities(np.array([30, 7, 30, 100, 8])).tolist() == [2, 0, 2, 3, 1]


def test_a_triple_without_a_label_has_no_number():
    found = domain([-1, 9, -1, 4])
    assert found.identities.tolist() == [-1, 1, -1, 0]
    assert found.num_identities == 2


def test_a_domain_without_any_label_has_no_identities():
    assert domain([-1, -1]).num_identities == 0


def test_labels_that_are_needed_and_missing_are_counted_with_key_and_reason():
    with pytest.raises(
        DataError, match=r"config\.data\.source: 1 of 3 training triples of drawn .*, and because;"
    ):
        require_labels(domain([5, -1, 6]), key="data.source", why="because")


def test_a_labelled_domain_passes():
    require_labels(domain([5, 6]), key="data.source", why="because")
