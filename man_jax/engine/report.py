"""Write what a finished run leaves for its user: the summary, the curves and the ranking picture."""

from collections.abc import Sequence
from typing import Any

import jax

from data_pipelines.session.disk import require_folder, writing
from man_jax.config import Config
from man_jax.engine.phases import distances_on_target
from man_jax.engine.ranking_picture import draw_rankings
from man_jax.engine.run_parts import RunParts
from man_jax.frame import TrainState
from man_jax.reporting.curves import curves_figure
from man_jax.runs.metrics import read_history, write_summary
from man_jax.runs.starting_weights import given_weights

METRICS = ("mAP", "R1", "R5", "R10", "mINP")

BEFORE = {"pretrain": "source_only", "start": "start"}
"""The name that the figures before adaptation have in the summary, by the phase that wrote them."""


def report(parts: RunParts, state: TrainState) -> dict[str, Any]:
    """Write summary.json, curves.png and ranking.png in the work directory; return the summary.

    Raises DiskError if the disk refuses; the same command writes all of them again.
    """
    with writing(parts.workdir):
        require_folder(parts.workdir)
    history = read_history(parts.workdir)
    config = parts.config
    # A path or name, as configured; the log has the file's digest.
    initial = given_weights(config) or "scratch"
    summary = {"experiment": config.experiment, "seed": config.seed, "initial_weights": initial}
    summary |= summarize(history)
    # Counted in this process only: a run that only reports has compiled no step.
    steps = {
        "pretrain_step": parts.pretrain_step,
        "adapt_step": parts.adapt_step,
        "extract": parts.extract,
    }
    distances = distances_on_target(parts, state, parts.method.networks(config)[0])
    summary["compilations"] = {name: function._cache_size() for name, function in steps.items()}
    if jax.process_index() == 0:
        weights = parts.method.weights(config)
        with writing(parts.workdir / "curves.png"):
            curves_figure(history, parts.workdir / "curves.png", title=describe(config), weights=weights)
        draw_rankings(
            distances,
            parts.domains.target.data,
            parts.workdir / "ranking.png",
            seed=config.seed,
            title=f"{describe(config)}, last epoch",
        )
        # Last, because a run with a summary counts as finished.
        write_summary(parts.workdir, summary)
    return summary


def summarize(history: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Take source_only, adapted (the last epoch) and best_on_test from the rows of `metrics.jsonl`, as fractions.

    A run that began from adapted weights has `start`, the figures of those weights, in place of source_only.

    `best_on_test` is the epoch of the highest mAP on the test identities. It is chosen on test data, so it is no
    result, and only for comparison with code that reports it.
    """
    evaluated = [row for row in history if "eval/mAP" in row]
    before = [row for row in evaluated if row["phase"] in BEFORE][-1]
    # Without adaptation, the source model is all there is.
    adapted = [row for row in evaluated if row["phase"] == "adapt"] or [before]
    best = max(adapted, key=lambda row: row["eval/mAP"])
    return {
        BEFORE[before["phase"]]: _figures(before),
        "adapted": _figures(adapted[-1]),
        "best_on_test": _figures(best) | {"epoch": best["epoch"]},
        "valid_queries": int(adapted[-1].get("eval/valid_queries", 0)),
    }


def describe(config: Config) -> str:
    """Name a run by its experiment, its data and its seed, for the title of a figure."""
    return f"{config.experiment}: {config.data.source.name} → {config.data.target.name}, seed {config.seed}"


def _figures(row: dict[str, Any]) -> dict[str, float]:
    return {name: row[f"eval/{name}"] for name in METRICS}
