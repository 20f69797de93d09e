"""What a finished run says of itself, from hand-written histories and distances."""

import numpy as np
import pytest

from man_jax.engine import report
from man_jax.engine.report import METRICS, NUM_MATCHES, NUM_QUERIES, draw_rankings, summarize
from tests.engine.splits import new_dataset, new_split


def row(phase: str, epoch: int, value: float | None, **others: float) -> dict:
    """A row of metrics.jsonl: all figures of the epoch are `value` but for the others; None: not evaluated."""
    figures = {} if value is None else dict.fromkeys(METRICS, value) | others
    return {"phase": phase, "epoch": epoch} | {f"eval/{name}": figure for name, figure in figures.items()}


def test_adapted_is_the_last_epoch_and_best_on_test_that_of_the_highest_map():
    history = [
        row("pretrain", 1, None),
        row("pretrain", 2, 0.2),
        row("adapt", 1, 0.3, R1=0.9),
        row("adapt", 2, 0.5, R1=0.6),
        row("adapt", 3, None),
        row("adapt", 4, 0.4),
    ]
    found = summarize(history)
    assert found["source_only"] == dict.fromkeys(METRICS, 0.2)
    assert found["adapted"] == dict.fromkeys(METRICS, 0.4)
    assert found["best_on_test"] == dict.fromkeys(METRICS, 0.5) | {"R1": 0.6, "epoch": 2}


def test_without_adaptation_the_source_model_is_all_there_is():
    found = summarize([row("pretrain", 1, 0.1), row("pretrain", 2, 0.2)])
    assert found["adapted"] == found["source_only"] == dict.fromkeys(METRICS, 0.2)
    assert found["best_on_test"]["epoch"] == 2


@pytest.fixture
def drawn(monkeypatch) -> list:
    """What the figure is drawn of."""
    told: list = []
    monkeypatch.setattr(report, "ranking_figure", lambda *parts, **_: told.extend(parts))
    return told


def test_the_picture_shows_a_few_queries_with_their_nearest_triples_that_are_not_removed(drawn, tmp_path):
    rng = np.random.default_rng(0)
    query = new_split(rng.integers(0, 4, 20), camids=rng.integers(0, 3, 20), seed=1)
    gallery = new_split(rng.integers(0, 4, 14), camids=rng.integers(0, 3, 14), seed=2)
    distances = rng.random((20, 14))
    draw_rankings(distances, new_dataset(query, query, gallery), tmp_path / "r.png", seed=0)
    queries, matches, correct, valid, titles, _ = drawn
    assert len(titles) == NUM_QUERIES < len(query)
    for place in range(NUM_QUERIES):
        (number,) = [i for i in range(20) if np.array_equal(query[i], queries[place])]
        assert titles[place] == f"pid {query.pids[number]}, camera {query.camids[number]}"
        nearest = [
            j
            for j in np.argsort(distances[number])
            if (gallery.pids[j], gallery.camids[j]) != (query.pids[number], query.camids[number])
        ][:NUM_MATCHES]
        assert valid[place].tolist() == [rank < len(nearest) for rank in range(NUM_MATCHES)]
        for rank, j in enumerate(nearest):
            np.testing.assert_array_equal(matches[place, rank], gallery[j])
            assert correct[place, rank] == (gallery.pids[j] == query.pids[number])
