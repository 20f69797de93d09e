"""Association with proxies: what is pulled to, what is pushed from, and how a batch's rows are averaged."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from man_jax.losses.proxies import contrast_associated, nearest_in_cameras, sum_of_camera_means
from tests.oracles import proxies as oracle
from tests.oracles.cases import masks, seeds
from tests.oracles.geometry import central_differences
from tests.oracles.precision import assert_close, assert_slope, both_precisions, evaluate, gradient

B, P, C = 5, 9, 4
CAMERAS = np.array([0, 1, 2, 0, 1, 2, 0, 1, -1])
EXISTS = np.array([1, 1, 1, 1, 0, 1, 1, 1, 1], bool)


def drawn(seed: int):
    """Similarities and another order of proxies, and positives among the proxies that exist."""
    rng = np.random.default_rng(seed)
    return (
        rng.uniform(-1, 1, (B, P)),
        rng.uniform(-1, 1, (B, P)),
        (rng.random((B, P)) < 0.3) & EXISTS,
    )


def expected_of(similarity, positives, order, exists, temperature, num_negatives) -> list[float]:
    return [
        oracle.associated(s, set(np.flatnonzero(p).tolist()), o, exists, temperature, num_negatives)
        for s, p, o in zip(similarity, positives, order, strict=True)
    ]


@both_precisions
@pytest.mark.parametrize("num_negatives", [1, 3, 50])
def test_each_row_is_pulled_to_its_positives_against_the_hardest_others(num_negatives, precision):
    similarity, order, positives = drawn(0)
    settings = {"temperature": 0.2, "num_negatives": num_negatives}
    values = evaluate(
        contrast_associated,
        similarity,
        positives,
        exists=EXISTS,
        order=order,
        **settings,
        precision=precision,
    )
    assert_close(values, expected_of(similarity, positives, order, EXISTS, 0.2, num_negatives), precision)


@given(seeds, masks(P), st.sampled_from([1, 2, 8]))
def test_proxies_that_do_not_exist_take_no_part(seed, exists, num_negatives):
    similarity, order, positives = drawn(seed)
    positives = positives & exists
    settings = {"exists": exists, "order": order, "temperature": 0.3, "num_negatives": num_negatives}
    expected = expected_of(similarity, positives, order, exists, 0.3, num_negatives)
    assert_close(evaluate(contrast_associated, similarity, positives, **settings), expected)
    slope = gradient(contrast_associated, similarity, positives, **settings)
    assert np.isfinite(slope).all()
    np.testing.assert_array_equal(slope[:, ~exists], 0)


def test_the_association_has_the_slope_of_its_formula_and_none_by_the_order():
    similarity, order, positives = drawn(2)
    expected = central_differences(
        lambda rows: sum(expected_of(rows, positives, order, EXISTS, 0.2, 3)), similarity
    )
    settings = {"exists": EXISTS, "temperature": 0.2, "num_negatives": 3}
    slope = gradient(contrast_associated, similarity, positives, order=order, **settings)
    assert_slope(slope, expected)

    def by_order(ranks, rows):
        return contrast_associated(rows, positives, order=ranks, **settings)

    np.testing.assert_array_equal(jax.grad(lambda o: by_order(o, similarity).sum())(order), 0)


@given(seeds, masks(P), st.sampled_from([1, 2, 3, 7]))
def test_the_nearest_proxies_are_one_of_a_camera_and_the_best_of_these(seed, exists, num_positives):
    _, order, _ = drawn(seed)
    found = evaluate(
        nearest_in_cameras, order, CAMERAS, exists=exists, num_cameras=C, num_positives=num_positives
    )
    for row, ranks in zip(found, order, strict=True):
        assert set(np.flatnonzero(row)) == oracle.nearest_in_cameras(ranks, CAMERAS, exists, num_positives)


def test_of_equal_proxies_of_a_camera_the_first_is_taken():
    found = evaluate(
        nearest_in_cameras, np.zeros((1, P)), CAMERAS, exists=EXISTS, num_cameras=C, num_positives=3
    )
    np.testing.assert_array_equal(np.flatnonzero(found[0]), [0, 1, 2])


@given(seeds, masks(B))
def test_every_camera_of_the_batch_counts_alike(seed, mask):
    rng = np.random.default_rng(seed)
    values, cameras, weight = rng.normal(size=B), rng.integers(0, 3, B), rng.uniform(0.1, 2, B) * mask
    hidden = np.where(mask, values, np.inf)
    assert_close(
        evaluate(sum_of_camera_means, hidden, cameras, weight),
        oracle.sum_of_camera_means(values, cameras, weight),
    )
    slope = gradient(sum_of_camera_means, values, cameras, weight)
    assert slope.sum() == pytest.approx(len(set(cameras[mask])))
    np.testing.assert_array_equal(slope[~mask], 0)
