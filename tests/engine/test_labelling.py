import numpy as np
import pytest

from man_jax.config import ConfigError
from man_jax.engine.labelling import (
    check_labels,
    known_labels,
    label_report,
    oracle_labels,
    sampled_labels,
)
from man_jax.frame import Labels

SETTLED = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 0], np.int32)
TRUTH = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2], np.int32)
"""The last triple alone is in another's cluster."""
PIDS = TRUTH + 7
RELIABLE = np.arange(10) < 9


def labelled(*, labels=SETTLED, weight=RELIABLE, clusterings=None) -> Labels:
    return Labels(
        np.asarray(labels, np.int32)[:, None],
        np.asarray(weight, np.float32),
        num_clusters=3,
        clusterings={"R": TRUTH, "F": SETTLED} if clusterings is None else clusterings,
    )


# --- labels that are known


def test_known_labels_are_the_identities_and_each_is_to_be_learnt():
    labels = known_labels(np.array([2, 0, 1, 1], np.int32))
    np.testing.assert_array_equal(labels.labels, [[2], [0], [1], [1]])
    np.testing.assert_array_equal(labels.weight, np.ones(4, np.float32), strict=True)
    assert labels.num_clusters == 3
    assert labels.continued
    assert not labels.clusterings


def test_the_oracle_s_labels_are_the_identities_and_those_of_every_clustering():
    identities = np.array([2, 0, 1, 1], np.int32)
    labels = oracle_labels(identities, modalities=("R", "T"), epoch=0)
    np.testing.assert_array_equal(labels.labels[:, 0], identities)
    assert (labels.weight > 0).all()
    assert list(labels.clusterings) == ["R", "T", "F"]
    for clustering in labels.clusterings.values():
        np.testing.assert_array_equal(clustering, identities)


@pytest.mark.parametrize(("epoch", "continued"), [(0, False), (1, True), (7, True)])
def test_the_oracle_s_numbers_go_on_after_its_first_epoch(epoch, continued):
    assert oracle_labels(np.zeros(3, np.int32), modalities="RNT", epoch=epoch).continued is continued


# --- labels that a method may not give


def check(labels: Labels, *, capacity: int = 3) -> None:
    check_labels(labels, capacity=capacity, num_triples=10, method="mine")


def test_labels_that_fit_are_accepted_with_several_columns_and_triples_in_no_cluster():
    check(labelled())
    check(labelled()._replace(labels=np.stack([SETTLED, np.full(10, -1, np.int32)], axis=1)), capacity=9)


@pytest.mark.parametrize(
    ("labels", "weight"),
    [
        (SETTLED, np.ones(10)),
        (SETTLED[:9, None], np.ones(10)),
        (SETTLED[:, None], np.ones(9)),
        (SETTLED[:, None], np.ones((10, 1))),
    ],
    ids=["no column", "too few labels", "too few weights", "weights in a column"],
)
def test_labels_of_another_shape_are_refused_with_the_method_s_name(labels, weight):
    with pytest.raises(ValueError, match=r"label\(\) of the method mine.*N = 10 triples"):
        check(labelled()._replace(labels=labels, weight=weight))


def test_more_clusters_than_there_is_room_for_are_refused():
    with pytest.raises(ValueError, match=r"mine: 3 clusters with labels up to 2, and capacity\(\) is 2"):
        check(labelled(), capacity=2)


def test_a_label_beyond_the_clusters_is_refused():
    with pytest.raises(ValueError, match="2 clusters with labels up to 2"):
        check(labelled()._replace(num_clusters=2), capacity=9)


# --- the report


def test_the_report_tells_each_accuracy_and_what_is_reliable():
    assert label_report(labelled(), PIDS) == {
        "labels/accuracy_R": 1.0,
        "labels/accuracy_F": 0.9,
        "labels/accuracy_settled": 0.9,
        "labels/accuracy_reliable": 1.0,
        "labels/reliable": 0.9,
        "labels/clusters_valid": 3.0,
    }


def test_the_report_is_of_the_first_labelling():
    both = labelled()._replace(labels=np.stack([SETTLED, np.zeros_like(SETTLED)], axis=1))
    assert label_report(both, PIDS) == label_report(labelled(), PIDS)


def test_a_cluster_without_a_reliable_sample_is_not_counted_as_valid():
    report = label_report(labelled(weight=RELIABLE & (SETTLED != 1)), PIDS)
    assert report["labels/clusters_valid"] == 2.0


def test_a_triple_that_weighs_less_is_reliable_all_the_same():
    report = label_report(labelled(weight=0.25 * RELIABLE), PIDS)
    assert report == label_report(labelled(), PIDS)


def test_each_triple_in_no_cluster_is_a_cluster_by_itself():
    outside = np.where(TRUTH == 2, -1, SETTLED)  # as one cluster, they would be an identity found
    labels = labelled(labels=outside, weight=outside >= 0, clusterings={"F": outside})
    report = label_report(labels, PIDS)
    assert (report["labels/accuracy_F"], report["labels/accuracy_settled"]) == (0.7, 0.7)
    assert (report["labels/accuracy_reliable"], report["labels/clusters_valid"]) == (1.0, 2.0)


def test_triples_without_a_label_count_in_no_accuracy():
    known = np.arange(10) % 3 > 0
    part = labelled(
        labels=SETTLED[known],
        weight=RELIABLE[known],
        clusterings={"R": TRUTH[known], "F": SETTLED[known]},
    )
    expected = {k: v for k, v in label_report(part, PIDS[known]).items() if "accuracy" in k}
    found = label_report(labelled(), np.where(known, PIDS, -1))
    assert {k: v for k, v in found.items() if "accuracy" in k} == expected


def test_without_any_identity_no_accuracy_is_reported():
    assert set(label_report(labelled(), np.full(10, -1))) == {"labels/reliable", "labels/clusters_valid"}


def test_a_number_of_clusters_that_was_estimated_stands_beside_that_of_identities():
    report = label_report(labelled()._replace(estimated=True), np.append(PIDS[:-1], 99))
    assert (report["labels/clusters"], report["labels/identities"]) == (3.0, 4.0)


def test_an_estimate_is_reported_alone_where_no_identity_is_known():
    report = label_report(labelled()._replace(estimated=True), np.full(10, -1))
    assert report["labels/clusters"] == 3.0
    assert "labels/identities" not in report


# --- which labels batches are drawn by


def drawn_by(labels: Labels, *, reliable_only: bool = False, num_identities: int = 3) -> np.ndarray:
    return sampled_labels(labels, reliable_only=reliable_only, num_identities=num_identities, epoch=4)


def test_all_labels_are_drawn_by_unless_only_reliable_ones_are_wanted():
    np.testing.assert_array_equal(drawn_by(labelled()), SETTLED)
    np.testing.assert_array_equal(drawn_by(labelled(), reliable_only=True), np.where(RELIABLE, SETTLED, -1))


@pytest.mark.parametrize("reliable_only", [False, True])
def test_a_triple_in_no_cluster_is_never_drawn(reliable_only):
    outside = np.where(np.arange(10) == 1, -1, SETTLED)
    assert drawn_by(labelled(labels=outside), reliable_only=reliable_only)[1] == -1


def test_batches_are_drawn_by_the_first_labelling():
    both = labelled()._replace(labels=np.stack([SETTLED, np.zeros_like(SETTLED)], axis=1))
    np.testing.assert_array_equal(drawn_by(both), SETTLED)


def test_batches_are_drawn_by_another_labelling_if_the_labels_name_it():
    finer = np.arange(10, dtype=np.int32)
    both = labelled()._replace(labels=np.stack([SETTLED, finer], axis=1), drawn_by=1)
    check(both)  # numbers of a finer labelling may be beyond the number of clusters
    np.testing.assert_array_equal(drawn_by(both), finer)
    np.testing.assert_array_equal(drawn_by(both, reliable_only=True), np.where(RELIABLE, finer, -1))


@pytest.mark.parametrize("column", [-1, 2])
def test_labels_that_name_a_column_they_lack_are_refused(column):
    both = labelled()._replace(labels=np.stack([SETTLED, SETTLED], axis=1), drawn_by=column)
    with pytest.raises(ValueError, match=f"drawn_by is {column}, and the labels have 2 columns"):
        check(both)


def test_too_few_clusters_to_sample_are_an_error_that_names_epoch_and_remedies():
    two = labelled(weight=SETTLED < 2)
    assert (drawn_by(two, reliable_only=True, num_identities=2) < 2).all()
    wanted = r"epoch 5: 2 clusters .*config\.batch\.identities is 3.*config\.adapt\.sampling to all"
    with pytest.raises(ConfigError, match=wanted):
        drawn_by(two, reliable_only=True)
    nothing = labelled(labels=np.full(10, -1))
    with pytest.raises(ConfigError, match="epoch 5: 0 clusters"):
        drawn_by(nothing)
