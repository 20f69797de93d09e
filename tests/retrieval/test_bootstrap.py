import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from man_jax.retrieval import bootstrap
from man_jax.retrieval.bootstrap import bootstrap_intervals
from man_jax.retrieval.ranking import QueryFigures
from tests.oracles import bootstrap as oracle
from tests.oracles.cases import seeds


def figures_of(precisions, first_ranks=None) -> QueryFigures:
    """Figures of queries with these APs; NaN: without a match."""
    precisions = np.asarray(precisions, float)
    first = np.ones(len(precisions)) if first_ranks is None else np.asarray(first_ranks)
    first = np.where(np.isnan(precisions), 0, first).astype(np.int32)
    return QueryFigures(precisions, first, precisions)


def intervals(precisions, pids, *, first_ranks=None, draws=2000, seed=0):
    figures = figures_of(precisions, first_ranks)
    return bootstrap_intervals(figures, pids, draws=draws, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(4))
def test_the_ends_are_those_of_all_draws_there_are(seed):
    rng = np.random.default_rng(seed)
    pids = np.array([7, 7, 7, 3, 9, 9, 4, 11, 11])
    precisions, first = rng.uniform(size=9), rng.integers(1, 3, 9)
    found = intervals(precisions, pids, first_ranks=first, draws=20_000, seed=seed)
    for name, values in (("mAP", precisions), ("R1", (first == 1).astype(float))):
        draws = oracle.all_draws(list(values), list(pids))
        for value, share in zip(found[name], (0.5, 0.025, 0.975), strict=True):
            assert oracle.share_below(draws, value, or_at=False) <= share + 0.01
            assert oracle.share_below(draws, value, or_at=True) >= share - 0.01


@given(seeds, st.floats(0, 1))
def test_where_all_queries_are_worth_the_same_the_interval_has_no_width(seed, value):
    pids = np.random.default_rng(seed).permutation(np.repeat(np.arange(6), [1, 2, 3, 4, 5, 6]))
    found = intervals(np.full(21, value), pids, draws=50)["mAP"]
    assert found == pytest.approx((value, value, value), abs=1e-12)


def test_identities_are_drawn_and_not_queries():
    """Two identities, one found and one not: a quarter of the draws has only the one, a quarter only the other."""
    found = intervals(np.repeat([0.0, 1.0], 100), np.repeat([1, 2], 100))["mAP"]
    assert found == (0.5, 0.0, 1.0)


def test_many_queries_of_an_identity_say_no_more_than_one_of_it():
    precisions, pids = np.array([0.1, 0.9, 0.4, 0.6]), np.array([1, 2, 3, 4])
    once, often = (intervals(np.repeat(precisions, n), np.repeat(pids, n)) for n in (1, 50))
    assert often["mAP"] == pytest.approx(once["mAP"])


@given(seeds)
def test_the_median_lies_within_the_interval_and_all_within_the_range_of_the_values(seed):
    rng = np.random.default_rng(seed)
    precisions = rng.uniform(size=30)
    median, low, high = intervals(precisions, rng.permutation(np.arange(30) % 6), draws=100)["mAP"]
    assert precisions.min() <= low <= median <= high <= precisions.max()


def test_queries_without_a_match_and_their_identities_take_no_part():
    precisions, pids = np.array([0.1, 0.9, 0.4]), np.array([1, 2, 2])
    more = intervals([*precisions, np.nan, np.nan], [*pids, 2, 8])
    assert more == intervals(precisions, pids)


def test_one_seed_gives_one_interval_and_another_another(monkeypatch):
    precisions, pids = np.random.default_rng(0).uniform(size=40), np.arange(40) % 10
    whole = intervals(precisions, pids)
    assert intervals(precisions, pids) == whole
    assert intervals(precisions, pids, seed=1) != whole
    monkeypatch.setattr(bootstrap, "BLOCK_ENTRIES", 70)
    assert intervals(precisions, pids)["mAP"] == pytest.approx(whole["mAP"])


def test_of_one_identity_there_is_nothing_to_draw():
    with pytest.raises(ValueError, match="1 identities have a query with a match"):
        intervals([0.5, 0.6, np.nan], [3, 3, 4])


def test_no_draw_is_refused():
    with pytest.raises(ValueError, match="draws is 0"):
        intervals([0.5, 0.6], [3, 4], draws=0)
