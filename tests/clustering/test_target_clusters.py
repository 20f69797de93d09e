import weakref

import numpy as np
import pytest

from man_jax.clustering import target_clusters
from man_jax.clustering.consensus import consensus_distances
from man_jax.clustering.dbscan import dbscan
from man_jax.clustering.jaccard import jaccard_distances
from man_jax.clustering.linkage import average_linkage, cut_into
from man_jax.clustering.target_clusters import (
    cluster_by_neighbours,
    cluster_distances,
    is_number_given,
)
from tests.oracles import linkage as oracle

GROUPS, SIZE, D, M = 5, 8, 6, 3
N = GROUPS * SIZE
CHOICES = {
    "clusters": "linkage",
    "neighbours": "fusion",
    "count": "given",
    "k1": 6,
    "k2": 3,
    "vote": 0.05,
    "eps": 0.5,
    "min_samples": 4,
    "cut": 0.9,
}
ROOM = {"num_clusters": GROUPS, "most": 10}


@pytest.fixture(scope="module")
def tables():
    """Groups that the first modality tells apart best and the last one worst."""
    rng = np.random.default_rng(0)
    middles = rng.normal(size=(M, GROUPS, 1, D))
    noise = np.array([0.2, 0.6, 1.0])[:, None, None, None] * rng.normal(size=(M, GROUPS, SIZE, D))
    modal = (middles + noise).reshape(M, N, D).astype(np.float32)
    modal /= np.linalg.norm(modal, axis=2, keepdims=True)
    return modal, np.concatenate(list(modal), axis=1) / np.float32(M**0.5)


def clustered(tables, **changes):
    return cluster_by_neighbours(*tables, **{**ROOM, **CHOICES, **changes})


def drawn_distances():
    return jaccard_distances(np.random.default_rng(2).normal(size=(20, 4)), k1=5, k2=2)


@pytest.mark.parametrize(
    ("clusters", "count", "is_given"),
    [
        ("kmeans", "given", True),
        ("kmeans", "estimated", True),
        ("linkage", "given", True),
        ("linkage", "estimated", False),
        ("linkage", "cut", False),
        ("dbscan", "given", False),
    ],
)
def test_the_number_of_clusters_is_given_for_k_means_and_for_a_tree_that_is_told_k(clusters, count, is_given):
    assert is_number_given(clusters, count) is is_given


def test_linkage_makes_k_clusters_of_every_modality_and_the_fusion(tables):
    rows = clustered(tables)
    assert rows.shape == (M + 1, N)
    for row, table in zip(rows, [*tables[0], tables[1]], strict=True):
        distances = jaccard_distances(table, k1=6, k2=3)
        np.testing.assert_array_equal(row, cut_into(average_linkage(distances), GROUPS))


def test_dbscan_is_of_every_modality_and_of_the_fusion(tables):
    rows = clustered(tables, clusters="dbscan", eps=0.4, min_samples=3)
    for row, table in zip(rows, [*tables[0], tables[1]], strict=True):
        distances = jaccard_distances(table, k1=6, k2=3)
        np.testing.assert_array_equal(row, dbscan(distances, eps=0.4, min_samples=3))


def test_a_consensus_is_asked_for_the_fusion_alone(tables):
    own, agreed = clustered(tables), clustered(tables, neighbours="consensus", vote=0.5)
    np.testing.assert_array_equal(own[:M], agreed[:M])
    distances = consensus_distances(list(tables[0]), tables[1], k1=6, k2=3, vote=0.5)
    np.testing.assert_array_equal(agreed[M], cut_into(average_linkage(distances), GROUPS))


@pytest.mark.parametrize("neighbours", ["fusion", "consensus"])
def test_the_fusion_s_clusters_are_the_same_without_those_of_the_modalities(tables, neighbours):
    changes = {"neighbours": neighbours, "vote": 0.5}
    alone = clustered(tables, with_modalities=False, **changes)
    np.testing.assert_array_equal(alone, clustered(tables, **changes)[M:])


def test_the_modalities_may_have_other_numbers_of_clusters_than_the_fusion(tables):
    rows = clustered(tables, count="estimated", cut=0.75)
    assert len({row.max() for row in rows}) > 1
    assert rows[M].max() + 1 == GROUPS


def test_only_the_fusion_s_clusters_must_fit_into_the_room_there_is(tables, caplog):
    rows = clustered(tables, clusters="dbscan", eps=0.6, most=3)
    whole = clustered(tables, clusters="dbscan", eps=0.6)
    np.testing.assert_array_equal(rows[:M], whole[:M])
    assert whole[M].max() + 1 > 3
    assert rows[M].max() + 1 == 3
    assert "there is room for 3" in caplog.text


def test_an_estimate_is_no_larger_than_the_room_there_is(tables):
    row = clustered(tables, count="estimated", most=3)[M]
    np.testing.assert_array_equal(row, clustered(tables, num_clusters=3)[M])


def test_fewer_samples_than_neighbours_are_all_compared(tables):
    np.testing.assert_array_equal(clustered(tables, k1=500, k2=9), clustered(tables, k1=N, k2=9))
    few = (tables[0][:, :4], tables[1][:4])
    assert clustered(few, k1=30, k2=6, num_clusters=2, most=2).shape == (M + 1, 4)


def test_the_tree_is_cut_into_as_many_clusters_as_are_large_at_the_cut():
    distances = drawn_distances()
    kind = {"clusters": "linkage", "num_clusters": 1, "eps": 0.5, "min_samples": 3, "cut": 0.7}
    large = oracle.large(oracle.cut_at(distances, 0.7), 3)
    assert -1 in large
    np.testing.assert_array_equal(cluster_distances(distances, count="cut", **kind), large)
    np.testing.assert_array_equal(
        cluster_distances(distances, count="estimated", **kind),
        cut_into(average_linkage(distances), max(large) + 1),
    )


def test_one_matrix_of_distances_is_held_at_a_time(tables, monkeypatch):
    made, held = [], []

    class Watched(np.ndarray):
        """An array to which a weak reference is possible."""

    def watched(*arguments, **keywords):
        distances = jaccard_distances(*arguments, **keywords).view(Watched)
        held.append(sum(each() is not None for each in made))
        made.append(weakref.ref(distances))
        return distances

    monkeypatch.setattr(target_clusters, "jaccard_distances", watched)
    clustered(tables)
    assert held == [0] * (M + 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"clusters": "kmeans"}, "clusters is 'kmeans'; choose linkage or dbscan"),
        ({"neighbours": "all"}, "neighbours is 'all'; choose fusion or consensus"),
        ({"count": "none"}, "count is 'none'; choose given, estimated or cut"),
    ],
)
def test_a_choice_that_there_is_not_is_refused(tables, changes, words):
    with pytest.raises(ValueError, match=words):
        clustered(tables, **changes)
