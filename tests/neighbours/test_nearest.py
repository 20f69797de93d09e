import numpy as np
import pytest
from scipy.sparse import csr_array

from man_jax.neighbours import nearest as subject
from man_jax.neighbours.nearest import find_nearest, unit_rows


def test_neighbours_at_equal_distance_keep_the_order_of_the_samples():
    rows = np.eye(5, dtype=np.float32)  # all at the same distance from each other
    np.testing.assert_array_equal(
        find_nearest(rows, 3).nearest, [[0, 1, 2], [1, 0, 2], [2, 0, 1], [3, 0, 1], [4, 0, 1]]
    )


def test_the_sample_itself_counts_with_its_own_similarity_where_all_coincide():
    np.testing.assert_allclose(find_nearest(unit_rows(np.ones((3, 2))), 1).least, 1, atol=1e-6)


@pytest.mark.parametrize("entries", [12, 60, 144], ids=["a row a block", "five rows a block", "one block"])
@pytest.mark.parametrize("with_votes", [False, True])
def test_blocks_change_nothing(entries, with_votes, monkeypatch):
    """Neighbours, and the similarity to the farthest sample; 12 samples, so blocks of five rows overlap at the end."""
    rng = np.random.default_rng(1)
    rows = unit_rows(rng.normal(size=(12, 6)))
    votes = np.triu(rng.integers(0, 2, (12, 12)), 1) * 0.3
    votes = votes + votes.T
    similarity = rows.astype(np.float64) @ rows.T + (votes if with_votes else 0)
    least = similarity.min(axis=1)
    np.fill_diagonal(similarity, np.inf)
    monkeypatch.setattr(subject, "BLOCK_ENTRIES", entries)
    found = find_nearest(rows, 4, csr_array(votes) if with_votes else None)
    np.testing.assert_array_equal(found.nearest, np.argsort(-similarity, axis=1, kind="stable")[:, :4])
    np.testing.assert_allclose(found.least, least, atol=1e-6)
