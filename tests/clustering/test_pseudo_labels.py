from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from man_jax.clustering.matching import contingency_table
from man_jax.clustering.pseudo_labels import (
    align_labels,
    align_pseudo_labels,
    clustering_accuracy,
    consistency_scores,
    settle_labels,
)
from tests.oracles import pseudo_labels as oracle

K = 4
RULES = ["fusion_vote", "majority", "fusion_label"]
EVERY_VOTE = np.array(list(product(range(4), repeat=4))).T  # [4, 256]: all ways R, N, T and F can vote


def clusterings(size: int = 12, num_clusters: int = K):
    return st.lists(st.integers(0, num_clusters - 1), min_size=size, max_size=size).map(np.array)


relabellings = st.permutations(range(K)).map(np.array)


# --- alignment (Eq. 4)


@given(clusterings(), clusterings())
def test_alignment_is_one_with_the_fewest_mismatched_samples(fused, labels):
    aligned = align_labels(labels, fused, num_clusters=K)
    assert tuple(aligned.tolist()) in oracle.optimal_alignments(labels, fused, K)


@given(clusterings(), clusterings())
def test_fewest_mismatches_and_largest_overlap_are_the_same_matching(fused, labels):
    table = contingency_table(fused, labels, num_one=K, num_other=K)
    by_sizes = table.sum(1)[:, None] + table.sum(0)[None, :] - 2 * table
    np.testing.assert_array_equal(by_sizes, oracle.mismatch_costs(labels, fused, K))


@given(clusterings(), relabellings)
def test_alignment_undoes_a_relabelling_of_the_fusion(fused, renamed):
    np.testing.assert_array_equal(align_labels(renamed[fused], fused, num_clusters=K), fused)


@given(clusterings(), clusterings(), relabellings)
def test_alignment_does_not_depend_on_the_names_of_a_modality_clusters(fused, labels, renamed):
    optimal = oracle.optimal_alignments(labels, fused, K)
    assert tuple(align_labels(renamed[labels], fused, num_clusters=K).tolist()) in optimal


@given(clusterings(), clusterings())
def test_alignment_renames_and_never_merges_or_splits_clusters(fused, labels):
    aligned = align_labels(labels, fused, num_clusters=K)
    assert len(set(zip(labels.tolist(), aligned.tolist(), strict=True))) == len(set(labels.tolist()))
    assert len(set(aligned.tolist())) == len(set(labels.tolist()))


# --- consistency (Eq. 5)


def test_consistency_is_the_fraction_of_agreeing_pairs():
    expected = [oracle.consistency_score(votes) for votes in EVERY_VOTE.T]
    np.testing.assert_allclose(consistency_scores(EVERY_VOTE), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize(("num_modalities", "values"), [(0, [1]), (1, [0, 1]), (2, [0, 1 / 3, 1])])
def test_fewer_modalities_have_fewer_pairs(num_modalities, values):
    scores = consistency_scores(EVERY_VOTE[-num_modalities - 1 :])
    np.testing.assert_allclose(np.unique(scores), values, atol=1e-15)


def test_consistency_takes_only_five_values():
    scores = np.unique(np.round(consistency_scores(EVERY_VOTE) * 6, 12))
    np.testing.assert_array_equal(scores, [0, 1, 2, 3, 6])


@given(st.permutations(range(4)))
def test_consistency_is_the_same_in_any_order_of_the_modalities(order):
    np.testing.assert_array_equal(consistency_scores(EVERY_VOTE[list(order)]), consistency_scores(EVERY_VOTE))


# --- settling on one label (Eq. 6)


@pytest.mark.parametrize("threshold", [0.0, 0.1, 1 / 6, 0.2, 1 / 3, 0.4, 0.5, 0.6, 1.0])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("num_modalities", [1, 2, 3])
def test_every_possible_vote_is_settled_as_its_rule_says(num_modalities, rule, threshold):
    every_vote = EVERY_VOTE[-num_modalities - 1 :]
    labels, reliable = settle_labels(every_vote, rule=rule, threshold=threshold)
    expected = [oracle.settle(votes, rule, threshold) for votes in every_vote.T]
    np.testing.assert_array_equal(labels, [label for label, _ in expected])
    np.testing.assert_array_equal(reliable, [sure for _, sure in expected])


def test_a_fusion_outvoted_by_its_three_modalities_is_rejected_by_fusion_vote():
    _, reliable = settle_labels(np.array([[1], [1], [1], [2]]), rule="fusion_vote", threshold=0.4)
    assert not reliable[0]


def test_a_fusion_outvoted_by_its_three_modalities_is_corrected_by_majority():
    labels, reliable = settle_labels(np.array([[1], [1], [1], [2]]), rule="majority", threshold=0.4)
    assert (labels[0], reliable[0]) == (1, True)


@pytest.mark.parametrize("rule", RULES)
def test_a_score_equal_to_the_threshold_is_not_reliable(rule):
    _, reliable = settle_labels(np.array([[1], [1], [2], [1]]), rule=rule, threshold=0.5)
    assert not reliable[0]


def test_the_default_admits_at_least_three_of_four():
    result = align_pseudo_labels(EVERY_VOTE[:3], EVERY_VOTE[3], num_clusters=4, rule="fusion_label")
    agreeing = [max(np.bincount(votes)) for votes in result.aligned.T]
    np.testing.assert_array_equal(result.reliable, np.array(agreeing) >= 3)


# --- the whole of CPA


@given(clusterings(), st.lists(relabellings, min_size=3, max_size=3))
def test_equal_clusterings_under_any_names_are_all_reliable(fused, renamed):
    result = align_pseudo_labels(np.stack([names[fused] for names in renamed]), fused, num_clusters=K)
    assert result.reliable.all()
    np.testing.assert_array_equal(result.labels, fused)


@given(st.lists(clusterings(), min_size=4, max_size=4), st.lists(relabellings, min_size=3, max_size=3))
def test_cpa_undoes_any_renaming_of_a_modality_s_clusters(clusterings, renamed):
    *modal, fused = clusterings
    plain = align_pseudo_labels(np.stack(modal), fused, num_clusters=K)
    other = [names[labels] for names, labels in zip(renamed, modal, strict=True)]
    undone = align_pseudo_labels(np.stack(other), fused, num_clusters=K)
    unique = [len(oracle.optimal_alignments(labels, fused, K)) == 1 for labels in modal]
    for is_unique, *aligned in zip([*unique, True], plain.aligned, undone.aligned, strict=True):
        if is_unique:  # of several matchings that are equally good, names decide
            np.testing.assert_array_equal(*aligned)
    if all(unique):
        for one, another in zip(plain, undone, strict=True):
            np.testing.assert_array_equal(one, another)


@pytest.mark.parametrize("rule", RULES)
def test_a_single_cluster_holds_every_sample_and_all_are_reliable(rule):
    result = align_pseudo_labels(np.zeros((3, 5), int), np.zeros(5, int), num_clusters=1, rule=rule)
    np.testing.assert_array_equal(result.labels, np.zeros(5))
    assert result.reliable.all()


@given(st.lists(clusterings(), min_size=4, max_size=4), st.sampled_from(RULES))
def test_cpa_is_alignment_then_scores_then_settling(clusterings, rule):
    *modal, fused = clusterings
    result = align_pseudo_labels(np.stack(modal), fused, num_clusters=K, rule=rule, threshold=0.4)
    expected = [oracle.settle(votes, rule, 0.4) for votes in result.aligned.T]
    for labels, aligned in zip(modal, result.aligned[:3], strict=True):
        assert tuple(aligned.tolist()) in oracle.optimal_alignments(labels, fused, K)
    np.testing.assert_array_equal(result.aligned[3], fused)
    np.testing.assert_allclose(result.scores, [oracle.consistency_score(votes) for votes in result.aligned.T])
    np.testing.assert_array_equal(result.labels, [label for label, _ in expected])
    np.testing.assert_array_equal(result.reliable, [sure for _, sure in expected])


def test_a_threshold_nobody_passes_leaves_no_reliable_sample_and_the_labels_of_the_fusion():
    result = align_pseudo_labels(EVERY_VOTE[:3], EVERY_VOTE[3], num_clusters=4, threshold=1.0)
    assert not result.reliable.any()
    np.testing.assert_array_equal(result.labels, EVERY_VOTE[3])


# --- other numbers of clusters, and samples in none


def some_outliers(size: int = 12, num_clusters: int = K):
    return st.lists(st.integers(-1, num_clusters - 1), min_size=size, max_size=size).map(np.array)


@given(some_outliers(num_clusters=3), some_outliers(num_clusters=5))
def test_alignment_of_more_clusters_or_fewer_has_the_largest_overlap_that_there_is(fewer, more):
    for labels, fused, num_clusters in ((more, fewer, 3), (fewer, more, 5)):
        aligned = align_labels(labels, fused, num_clusters=num_clusters)
        shared = np.sum((aligned == fused) & (aligned >= 0))
        assert shared == oracle.largest_overlap(labels, fused)
        assert oracle.is_renaming(labels, aligned, num_clusters)


def test_clusters_that_match_none_of_the_fusion_s_agree_with_nobody():
    fused = np.zeros(6, int)
    modal = np.array([0, 0, 0, 1, 1, 2])
    result = align_pseudo_labels(np.stack([modal] * 3), fused, num_clusters=1)
    np.testing.assert_array_equal(result.aligned[:3], [[0, 0, 0, -1, -1, -1]] * 3)
    np.testing.assert_array_equal(result.scores, [1, 1, 1, 0, 0, 0])
    np.testing.assert_array_equal(result.reliable, [True] * 3 + [False] * 3)


def test_equal_clusterings_are_all_reliable_though_the_modality_numbers_one_more():
    fused = np.array([0, 0, 1, 1, 2])
    result = align_pseudo_labels(np.stack([fused + 1] * 3), fused, num_clusters=3)
    assert result.reliable.all()


EVERY_VOTE_OR_NONE = np.array(list(product(range(-1, 3), repeat=4))).T


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.4, 0.6])
@pytest.mark.parametrize("rule", RULES)
def test_samples_in_no_cluster_agree_with_nobody_under_every_rule(rule, threshold):
    labels, reliable = settle_labels(EVERY_VOTE_OR_NONE, rule=rule, threshold=threshold)
    # Labels of their own are names that no other clustering has.
    own = np.where(EVERY_VOTE_OR_NONE < 0, 10 + np.arange(4)[:, None], EVERY_VOTE_OR_NONE)
    expected = [oracle.settle(votes, rule, threshold) for votes in own.T]
    settled = np.array([label if label < 10 else -1 for label, _ in expected])
    np.testing.assert_array_equal(labels, settled)
    np.testing.assert_array_equal(reliable, [sure and label < 10 for label, sure in expected])


def test_plain_labels_are_the_fusion_s_and_those_in_a_cluster_are_all_reliable():
    labels, reliable = settle_labels(EVERY_VOTE_OR_NONE, rule="plain", threshold=1.0)
    np.testing.assert_array_equal(labels, EVERY_VOTE_OR_NONE[3])
    np.testing.assert_array_equal(reliable, EVERY_VOTE_OR_NONE[3] >= 0)


# --- accuracy


@given(clusterings(10), st.lists(st.sampled_from([7, 3, 900, 12, 5]), min_size=10, max_size=10).map(np.array))
def test_accuracy_is_that_of_the_best_one_to_one_naming(labels, pids):
    assert clustering_accuracy(labels, pids) == pytest.approx(oracle.clustering_accuracy(labels, pids))


def test_accuracy_counts_a_split_identity_once():
    assert clustering_accuracy(np.array([0, 0, 0, 1]), np.array([5, 5, 5, 5])) == pytest.approx(0.75)


def test_accuracy_of_merged_identities_counts_the_larger():
    assert clustering_accuracy(np.array([2, 2, 2, 2, 2]), np.array([1, 1, 8, 8, 8])) == pytest.approx(0.6)


def test_accuracy_of_nothing_is_zero():
    assert clustering_accuracy(np.zeros(0, int), np.zeros(0, int)) == 0.0
