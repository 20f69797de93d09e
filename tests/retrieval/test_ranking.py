"""Ranking against plain loops that share no code with it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from man_jax.retrieval.distances import FeatureDistances, query_gallery_distances
from man_jax.retrieval.ranking import average_precisions, evaluate_ranking, rank_gallery, top_matches


def kept_list(distances, pid, group, gallery_pids, gallery_groups):
    """One query's gallery after removal, nearest first: Python's sort is stable, as the protocol asks."""
    order = sorted(range(len(distances)), key=lambda g: distances[g])
    return [g for g in order if not (gallery_pids[g] == pid and gallery_groups[g] == group)]


def evaluate_by_loops(distances, query_pids, gallery_pids, query_groups, gallery_groups):
    aps, inps, firsts = [], [], []
    for row, pid, group in zip(distances, query_pids, query_groups, strict=True):
        hits, precisions, last = 0, [], 0
        for rank, g in enumerate(kept_list(row, pid, group, gallery_pids, gallery_groups), start=1):
            if gallery_pids[g] == pid:
                hits += 1
                precisions.append(hits / rank)
                firsts += [rank] if hits == 1 else []
                last = rank
        if hits:
            aps.append(math.fsum(precisions) / hits)
            inps.append(hits / last)
    if not aps:
        return None
    cmc = {f"R{k}": sum(first <= k for first in firsts) / len(firsts) for k in (1, 5, 10)}
    return {"mAP": math.fsum(aps) / len(aps), "mINP": math.fsum(inps) / len(inps), **cmc}, len(aps)


def random_case(seed, *, num_queries=7, num_gallery=12, ties=True):
    """Distances drawn from few values (ties), pid 0 as distractor in the gallery only, three cameras."""
    rng = np.random.default_rng(seed)
    shape = (num_queries, num_gallery)
    distances = rng.integers(0, 4, shape).astype(float) if ties else rng.permuted(np.arange(np.prod(shape)))
    labels = {
        "query_pids": rng.integers(1, 4, num_queries),
        "gallery_pids": rng.integers(0, 4, num_gallery),
        "query_groups": rng.integers(0, 3, num_queries),
        "gallery_groups": rng.integers(0, 3, num_gallery),
    }
    return distances.reshape(shape), labels


@pytest.mark.parametrize("seed", range(5))
def test_each_query_s_ap_is_that_of_the_plain_loops_and_none_where_no_match_is_left(seed):
    distances, labels = random_case(seed, num_queries=9, num_gallery=6)
    found = average_precisions(distances, **labels)
    for i, value in enumerate(found):
        alone = {name: row[i : i + 1] if name.startswith("query") else row for name, row in labels.items()}
        expected = evaluate_by_loops(distances[i : i + 1], **alone)
        assert np.isnan(value) if expected is None else value == pytest.approx(expected[0]["mAP"])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 14), st.booleans())
def test_every_figure_equals_the_plain_loops(seed, num_queries, num_gallery, ties):
    distances, labels = random_case(seed, num_queries=num_queries, num_gallery=num_gallery, ties=ties)
    expected = evaluate_by_loops(distances, **labels)
    if expected is None:
        with pytest.raises(ValueError, match="none of the"):
            evaluate_ranking(distances, **labels)
        return
    result = evaluate_ranking(distances, **labels)
    assert result.as_dict() == pytest.approx(expected[0], abs=1e-12)
    assert (result.num_valid, result.num_skipped) == (expected[1], num_queries - expected[1])


def test_a_list_worked_by_hand():
    """Kept pids, nearest first: 1 2 1 (the entry at distance 0 is removed), so hits at ranks 1 and 3."""
    result = evaluate_ranking(
        [[0.0, 0.1, 0.2, 0.3]],
        query_pids=[1],
        gallery_pids=[1, 1, 2, 1],
        query_groups=[0],
        gallery_groups=[0, 1, 0, 2],
    )
    assert result.as_dict() == pytest.approx(
        {"mAP": (1 + 2 / 3) / 2, "R1": 1, "R5": 1, "R10": 1, "mINP": 2 / 3}
    )


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6))
def test_permuting_the_gallery_changes_nothing_without_ties(seed):
    distances, labels = random_case(seed, num_gallery=40, ties=False)
    order = np.random.default_rng(seed + 1).permutation(40)
    permuted = {k: v[order] if k.startswith("gallery") else v for k, v in labels.items()}
    before = evaluate_ranking(distances, **labels)
    assert evaluate_ranking(distances[:, order], **permuted).as_dict() == pytest.approx(before.as_dict())


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 8))
def test_features_that_equal_their_identity_are_perfect(seed, num_pids):
    gallery_pids = np.random.default_rng(seed).permutation(np.repeat(np.arange(num_pids), 3))
    result = evaluate_ranking(
        query_gallery_distances(np.eye(num_pids), np.eye(num_pids)[gallery_pids]),
        query_pids=np.arange(num_pids),
        gallery_pids=gallery_pids,
        query_groups=np.zeros(num_pids),
        gallery_groups=np.ones(len(gallery_pids)),
    )
    assert set(result.as_dict().values()) == {1.0}


@pytest.mark.parametrize("block_size", [1, 2, 3, 1000])
def test_the_block_size_changes_nothing(block_size):
    distances, labels = random_case(3, num_gallery=40)
    whole = evaluate_ranking(distances, **labels)
    assert evaluate_ranking(distances, **labels, block_size=block_size) == whole


def test_ties_keep_the_order_of_the_gallery():
    assert rank_gallery([[1.0, 0.0, 1.0, 0.0]]).tolist() == [[1, 3, 0, 2]]


def test_a_query_without_a_match_is_skipped_and_counted():
    result = evaluate_ranking(
        [[0.0, 1.0], [0.0, 1.0]],
        query_pids=[1, 9],
        gallery_pids=[1, 2],
        query_groups=[0, 0],
        gallery_groups=[1, 1],
    )
    assert (result.mAP, result.num_valid, result.num_skipped) == (1.0, 1, 1)


def test_no_valid_query_is_an_error_that_names_the_rule_and_the_counts():
    with pytest.raises(
        ValueError, match=r"none of the 3 queries .* for 2 the rule 'same pid and same scene' .* for 1"
    ):
        evaluate_ranking(
            np.zeros((3, 2)),
            query_pids=[1, 2, 9],
            gallery_pids=[1, 2],
            query_groups=[0, 0, 0],
            gallery_groups=[0, 0],
            group_name="scene",
        )


def test_other_ranks_can_be_asked_for():
    distances, labels = random_case(1)
    assert list(evaluate_ranking(distances, **labels, ranks=(1, 20)).as_dict()) == [
        "mAP",
        "R1",
        "R20",
        "mINP",
    ]


def test_rank_zero_is_refused():
    distances, labels = random_case(1)
    with pytest.raises(ValueError, match="from 1 upwards"):
        evaluate_ranking(distances, **labels, ranks=(0, 5))


def test_labels_of_the_wrong_length_are_refused_by_name():
    distances, labels = random_case(1)
    with pytest.raises(
        ValueError, match=r"gallery_groups has shape \(1,\), distances \(7, 12\) need \(12,\)"
    ):
        evaluate_ranking(distances, **labels | {"gallery_groups": np.zeros(1)})


def test_an_empty_gallery_is_refused():
    with pytest.raises(ValueError, match="at least one query and one entry"):
        evaluate_ranking(
            np.zeros((1, 0)), query_pids=[1], gallery_pids=[], query_groups=[0], gallery_groups=[]
        )


@pytest.mark.parametrize("k", [1, 3, 10])
def test_top_matches_are_the_head_of_the_kept_list_padded_with_minus_one(k, monkeypatch):
    monkeypatch.setattr("man_jax.retrieval.ranking.LISTED_ENTRIES", 12)  # two queries a block
    distances, labels = random_case(5, num_gallery=6)
    top = top_matches(distances, **labels, k=k)
    for q, row in enumerate(top):
        kept = kept_list(
            distances[q],
            labels["query_pids"][q],
            labels["query_groups"][q],
            labels["gallery_pids"],
            labels["gallery_groups"],
        )
        assert row.tolist() == (kept + [-1] * k)[:k]


@pytest.mark.parametrize("block_size", [1, 3, None])
def test_features_are_judged_as_their_distances_are(block_size):
    rng = np.random.default_rng(3)
    query, gallery = (rng.integers(-9, 9, (count, 5)).astype(np.float32) for count in (7, 12))  # exact sums
    _, labels = random_case(3)
    given, rows = query_gallery_distances(query, gallery), FeatureDistances(query, gallery)
    expected = evaluate_ranking(given, **labels)
    assert evaluate_ranking(rows, **labels, block_size=block_size) == expected
    np.testing.assert_array_equal(top_matches(rows, **labels, k=4), top_matches(given, **labels, k=4))


def test_judging_features_holds_a_block_of_their_distances_at_a_time(monkeypatch):
    asked = []
    rows_of = FeatureDistances.__getitem__
    monkeypatch.setattr(
        FeatureDistances, "__getitem__", lambda *call: asked.append(call[1]) or rows_of(*call)
    )
    _, labels = random_case(0)
    rng = np.random.default_rng(0)
    evaluate_ranking(
        FeatureDistances(rng.normal(size=(7, 3)), rng.normal(size=(12, 3))), **labels, block_size=2
    )
    assert sorted(len(range(7)[block]) for block in asked) == [1, 2, 2, 2]


def test_a_distance_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="1 distances are not finite, the first is nan at gallery entry 1"):
        rank_gallery([[0.0, np.nan]])


# --- triples of nobody


def test_a_query_without_an_identity_matches_nothing_and_is_skipped_and_removes_nothing():
    labels = {
        "query_pids": np.array([-1, 5]),
        "gallery_pids": np.array([-1, -1, 5]),
        "query_groups": np.array([0, 0]),
        "gallery_groups": np.array([0, 1, 1]),
    }
    distances = np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]])
    result = evaluate_ranking(distances, **labels)
    assert (result.num_valid, result.num_skipped) == (1, 1)
    assert result.mAP == pytest.approx(1 / 3)  # two strangers stand before the one match
    assert top_matches(distances, **labels, k=3).tolist() == [[0, 1, 2], [0, 1, 2]]


def test_only_queries_without_an_identity_are_an_error_that_counts_them_as_strangers():
    nobody = np.array([-1, -1])
    with pytest.raises(ValueError, match=r"for 0 the rule .*, for 2 the gallery has no entry of their pid"):
        evaluate_ranking(
            np.zeros((2, 2)),
            query_pids=nobody,
            gallery_pids=nobody,
            query_groups=np.array([0, 1]),
            gallery_groups=np.array([1, 0]),
        )


# --- groups that are unknown


def test_nothing_is_removed_from_the_list_of_a_query_whose_group_is_unknown():
    labels = {
        "query_pids": np.array([5, 5]),
        "gallery_pids": np.array([5, 6, 5]),
        "query_groups": np.array([-1, 0]),
        "gallery_groups": np.array([-1, -1, 0]),
    }
    distances = np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]])
    assert top_matches(distances, **labels, k=3).tolist() == [[0, 1, 2], [0, 1, -1]]
    np.testing.assert_allclose(average_precisions(distances, **labels), [(1 + 2 / 3) / 2, 1])
