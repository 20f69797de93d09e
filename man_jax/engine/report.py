"""What a finished run leaves for people: the summary, the curves, the ranking picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from data_pipelines.disk import require_folder, writing
from data_pipelines.prepared import PreparedDataset
from man_jax.engine.metrics import read_history, write_summary
from man_jax.engine.phases import distances_on_target
from man_jax.engine.setting import Setting
from man_jax.engine.state import TrainState
from man_jax.reporting.curves import curves_figure
from man_jax.reporting.ranking_lists import ranking_figure
from man_jax.retrieval.ranking import top_matches

METRICS = ("mAP", "R1", "R5", "R10", "mINP")

NUM_QUERIES, NUM_MATCHES = 6, 10


def report(setting: Setting, state: TrainState) -> dict[str, Any]:
    """Write summary.json, curves.png and ranking.png below the work directory; return the summary.

    DiskError if the disk refuses; the same command writes all of them again.
    """
    with writing(setting.workdir):
        require_folder(setting.workdir)
    history = read_history(setting.workdir)
    config = setting.config
    # A path or name, as configured; the log has the file's digest.
    initial = config.pretrain.init_from or config.model.pretrained or "scratch"
    summary = {"experiment": config.experiment, "seed": config.seed, "initial_weights": initial}
    summary |= summarize(history)
    # Of this process: a run that only reports has compiled no step.
    steps = {
        "pretrain_step": setting.pretrain_step,
        "adapt_step": setting.adapt_step,
        "extract": setting.extract,
    }
    distances = distances_on_target(setting, state)
    summary["compilations"] = {name: function._cache_size() for name, function in steps.items()}
    if jax.process_index() == 0:
        write_summary(setting.workdir, summary)
        with writing(setting.workdir / "curves.png"):
            curves_figure(history, setting.workdir / "curves.png")
        draw_rankings(distances, setting.target.data, setting.workdir / "ranking.png", seed=config.seed)
    return summary


def summarize(history: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """source_only, adapted (the last epoch) and best_on_test, as fractions, from the rows of `metrics.jsonl`.

    `best_on_test` is the epoch of the highest mAP on the test identities: chosen on test data, for comparison with
    code that reports it, not a result.
    """
    evaluated = [row for row in history if "eval/mAP" in row]
    source_only = [row for row in evaluated if row["phase"] == "pretrain"][-1]
    # Without adaptation, the source model is all there is.
    adapted = [row for row in evaluated if row["phase"] == "adapt"] or [source_only]
    best = max(adapted, key=lambda row: row["eval/mAP"])
    return {
        "source_only": _figures(source_only),
        "adapted": _figures(adapted[-1]),
        "best_on_test": _figures(best) | {"epoch": best["epoch"]},
    }


def draw_rankings(distances: np.ndarray, data: PreparedDataset, path: Path, *, seed: int) -> None:
    """A few queries, drawn by seed, with their nearest gallery triples after the removal rule (Fig. 9)."""
    query, gallery = data.query, data.gallery
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(query), size=min(NUM_QUERIES, len(query)), replace=False))
    matches = top_matches(
        distances[chosen],
        query_pids=query.pids[chosen],
        gallery_pids=gallery.pids,
        query_groups=query.groups[chosen],
        gallery_groups=gallery.groups,
        k=NUM_MATCHES,
    )
    valid = matches >= 0
    images = gallery.read(np.where(valid, matches, 0).ravel())
    with writing(path):
        ranking_figure(
            query.read(chosen),
            images.reshape(*matches.shape, *images.shape[1:]),
            gallery.pids[matches] == query.pids[chosen][:, None],
            valid,
            [f"pid {query.pids[i]}, camera {query.camids[i]}" for i in chosen],
            path,
            modalities=data.modalities,
        )


def _figures(row: dict[str, Any]) -> dict[str, float]:
    return {name: row[f"eval/{name}"] for name in METRICS}
