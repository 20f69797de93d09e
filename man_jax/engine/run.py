"""A whole run, from a configuration to a summary."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from man_jax.config import Config
from man_jax.engine.metrics import read_history, write_summary
from man_jax.engine.phases import adapt, pretrain
from man_jax.engine.setting import Setting, first_state, open_setting
from man_jax.engine.state import TrainState

METRICS = ("mAP", "R1", "R5", "R10", "mINP")


def run(config: Config, workdir: Path) -> dict[str, Any]:
    """Pre-train, adapt and report; return what `summary.json` holds. Goes on where an earlier call stopped.

    Raises:
        ConfigError, DataError, WorkdirError: before any training, if something does not fit.
        FloatingPointError: if training diverges.
    """
    setting = open_setting(config, workdir)
    state = first_state(setting)
    state = pretrain(setting, state)
    state = adapt(setting, state)
    setting.writer.close()
    setting.checkpoints.close()
    return report(setting, state)


def report(setting: Setting, state: TrainState) -> dict[str, Any]:
    """The summary, on disk and returned, and the pictures."""
    del state
    history = read_history(setting.workdir)
    summary = {"experiment": setting.config.experiment, "seed": setting.config.seed, **summarize(history)}
    if jax.process_index() == 0:
        write_summary(setting.workdir, summary)
    return summary


def summarize(history: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """source_only, adapted (the last epoch) and best_on_test, as fractions, from the rows of `metrics.jsonl`.

    `best_on_test` is the epoch of the highest mAP on the test identities: chosen on test data, for comparison with
    code that reports it, not a result.
    """
    evaluated = [row for row in history if "eval/mAP" in row]
    adapted = [row for row in evaluated if row["phase"] == "adapt"]
    source_only = [row for row in evaluated if row["phase"] == "pretrain"][-1]
    last, best = adapted[-1:], sorted(adapted, key=lambda row: row["eval/mAP"])[-1:]
    return {
        "source_only": _figures(source_only),
        "adapted": _figures(last[0] if last else source_only),
        "best_on_test": _figures(best[0] if best else source_only)
        | {"epoch": best[0]["epoch"] if best else 0},
    }


def _figures(row: dict[str, Any]) -> dict[str, float]:
    return {name: row[f"eval/{name}"] for name in METRICS}
