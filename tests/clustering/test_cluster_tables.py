"""Several tables of features of the same samples, clustered each on its own."""

import jax
import numpy as np
import pytest

from man_jax.clustering import kmeans as subject
from man_jax.clustering.kmeans import cluster_tables
from tests.oracles.cases import unit_normal
from tests.oracles.pseudo_labels import clustering_accuracy

N, D, K = 24, 16, 4
KINDS = np.arange(N) % K


def new_tables(seed: int, *widths: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [unit_normal(rng, N, width).astype(np.float32) for width in widths]


def clustered(tables, *, key: int = 0, num_clusters: int = K, **settings) -> np.ndarray:
    return cluster_tables(tables, num_clusters=num_clusters, key=jax.random.key(key), **settings)


def test_each_table_is_clustered_by_itself():
    rng = np.random.default_rng(6)
    centres = unit_normal(rng, 3, K, D)
    centres[2, 1] = centres[2, 0]  # the third table cannot tell two kinds apart
    tables = centres[:, KINDS] + 0.05 * rng.normal(size=(3, N, D))
    tables /= np.linalg.norm(tables, axis=-1, keepdims=True)
    clusters = clustered(tables.astype(np.float32), num_init=3)
    assert (clusters.shape, clusters.dtype) == ((3, N), np.int32)
    accuracies = [clustering_accuracy(row[:12], KINDS[:12]) for row in clusters]
    assert accuracies[:2] == [1, 1]
    assert accuracies[2] < 1


def test_features_that_are_not_finite_are_refused():
    tables = new_tables(9, D, D)
    tables[1][3, 2] = np.nan
    with pytest.raises(ValueError, match="table 2 of 2 to cluster has features that are not finite"):
        clustered(tables)


def test_each_table_has_a_key_of_its_own():
    (table,) = new_tables(7, D)
    clusters = clustered([table] * 5, num_clusters=8)
    assert len({row.tobytes() for row in clusters}) > 1


def test_clusters_depend_on_the_key_alone():
    tables = new_tables(8, D, D, 2 * D)
    first, again, other = (clustered(tables, key=key, num_clusters=6) for key in (3, 3, 4))
    np.testing.assert_array_equal(again, first)
    assert not np.array_equal(other, first)


@pytest.mark.parametrize("widths", [(D, D, D, 3 * D), (D, D)])
def test_tables_of_one_width_share_one_compilation_at_every_epoch(widths):
    subject._cluster.clear_cache()
    for epoch, tolerance in ((0, 1e-6), (1, 1e-3)):
        clusters = clustered(new_tables(epoch, *widths), key=epoch, num_clusters=6, tolerance=tolerance)
        assert clusters.shape == (len(widths), N)
        assert subject._cluster._cache_size() == len(set(widths))
