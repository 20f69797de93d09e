"""What a finished run says of itself, from hand-written histories."""

from man_jax.configs import default
from man_jax.engine.report import METRICS, describe, summarize


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


def test_a_run_is_named_by_its_experiment_its_data_and_its_seed():
    config = default.get_config()
    config.update({"experiment": "demo-us", "seed": 3})
    config.data.source.name, config.data.target.name = "rgbnt100", "wmveid863"
    assert describe(config) == "demo-us: rgbnt100 → wmveid863, seed 3"
