import numpy as np

from man_jax.neighbours import nearest as blocks
from man_jax.neighbours.nearest import find_nearest, unit_rows


def test_neighbours_at_equal_distance_keep_the_order_of_the_samples():
    rows = np.eye(5, dtype=np.float32)  # all at the same distance from each other
    np.testing.assert_array_equal(
        find_nearest(rows, 3).nearest, [[0, 1, 2], [1, 0, 2], [2, 0, 1], [3, 0, 1], [4, 0, 1]]
    )


def test_the_least_similarity_is_that_to_the_farthest_sample_in_every_block(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_ENTRIES", 3 * 11)
    rows = unit_rows(np.random.default_rng(0).normal(size=(11, 4)))
    np.testing.assert_allclose(find_nearest(rows, 2).least, (rows @ rows.T).min(axis=1), atol=1e-6)


def test_the_sample_itself_counts_with_its_own_similarity_where_all_coincide():
    np.testing.assert_allclose(find_nearest(unit_rows(np.ones((3, 2))), 1).least, 1, atol=1e-6)
