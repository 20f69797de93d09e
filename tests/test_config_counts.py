"""Configurations that do not fit the data they are to run on."""

import pytest

from man_jax.config import ConfigError, check_counts
from tests.test_config import changed, defaults

ENOUGH = {"num_identities": 50, "num_samples": 5000, "num_target_identities": 40, "capacity": 300}


def test_of_data_that_suffice_the_target_has_as_many_classes_as_the_method_has_room_for():
    assert check_counts(defaults(), **ENOUGH) == 300


def test_true_labels_make_as_many_classes_as_the_target_has_identities():
    assert check_counts(changed(adapt__labels="truth"), **ENOUGH) == 40


def test_only_the_oracle_needs_identities_in_the_target():
    check_counts(defaults(), **{**ENOUGH, "num_target_identities": 0})


@pytest.mark.parametrize(
    ("changes", "counts", "message"),
    [
        (
            {},
            {"num_identities": 3},
            r"config\.batch\.identities is 4, but the source has 3 training identities",
        ),
        ({}, {"num_samples": 299}, r"num_clusters is 300, but the target has 299 training triples; choose k"),
        (
            {},
            {"capacity": 3},
            r"config\.batch\.identities is 4, but there are 3 clusters.*lower the one or raise the other",
        ),
        (
            {"adapt__labels": "truth"},
            {"num_target_identities": 3},
            r"config\.batch\.identities is 4, but the target has 3 training identities, which take the place",
        ),
    ],
)
def test_a_configuration_that_does_not_fit_the_data_is_refused(changes, counts, message):
    with pytest.raises(ConfigError, match=message):
        check_counts(changed(**changes), **{**ENOUGH, **counts})


def test_all_limits_of_the_data_that_are_passed_are_told_at_once():
    with pytest.raises(ConfigError) as told:
        check_counts(defaults(), num_identities=3, num_samples=299, num_target_identities=40, capacity=300)
    lines = str(told.value).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("config.batch.identities is 4")
    assert lines[1].startswith("config.adapt.num_clusters is 300")
