"""Make the page of a study from its tables and from the files of its runs, finished or not."""

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from man_jax import methods
from man_jax.config import ConfigError
from man_jax.reporting.loss_shares import last_terms
from man_jax.reporting.pages.render import figure_url, render
from man_jax.reporting.series import Series, series_of
from man_jax.reporting.study_figures import draw_ends, draw_ways
from man_jax.runs.metrics import read_history
from man_jax.runs.past_config import CONFIG, run_config

CELL = tuple[str, str]
"""Ours, and the published figure."""


class StudyRun(NamedTuple):
    """A run of a study: its row, its seed and its history."""

    row: str
    seed: int
    history: Sequence[Mapping[str, Any]]
    weights: Mapping[str, float]
    """Of the terms of the loss."""


def study_page(folder: Path) -> str:
    """Make the HTML of a study. Raises ConfigError if the folder holds no run."""
    runs = read_runs(folder)
    if not runs:
        raise ConfigError(f"--study {folder}: no run is in it; name what reproduce wrote, e.g. runs/seeds")
    tables = [read_table(path) for path in sorted(folder.glob("*.csv"))]
    by_row: dict[str, list[StudyRun]] = defaultdict(list)
    for run in runs:
        by_row[run.row].append(run)
    ways = {row: [series_of(_adapt(run), "eval/mAP") for run in found] for row, found in by_row.items()}
    ends = {row: [way.values[-1] for way in found if way.values] for row, found in ways.items()}
    return render(
        "study.html",
        title=f"Study {folder.name}",
        about=f"{len(runs)} runs of {len(by_row)} rows in {folder}",
        tables=tables,
        ends=figure_url(draw_ends(ends, published={}, of="")),
        ways=figure_url(draw_ways(_only_filled(ways))),
        runs=[_line(run) for run in runs],
        losses=[
            (f"{row}: {term}", *values)
            for row, found in by_row.items()
            for term, *values in _losses(found[-1])
        ],
    )


def read_runs(folder: Path) -> list[StudyRun]:
    """Read the runs below a folder, in the order of their rows' names and seeds."""
    runs = []
    for path in sorted(folder.rglob(CONFIG)):
        config = run_config(path.parent)
        history = read_history(path.parent)
        name = path.parent.relative_to(folder).as_posix()
        row = name.removeprefix(f"seed{config.seed}").lstrip("-/") or name
        runs.append(StudyRun(row, config.seed, history, methods.find(config.method).weights(config)))
    return sorted(runs, key=lambda run: (run.row, run.seed))


def read_table(path: Path) -> dict[str, Any]:
    """Read a table that `reproduce --what` wrote as CSV: its figures by row and column, ours and the published ones."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    columns = list(dict.fromkeys(line["figure"] for line in lines))
    rows: dict[str, dict[str, CELL]] = {}
    for line in lines:
        name = f"{line['row']}; {line['modalities']} at test" if line["modalities"] else line["row"]
        deviation = f" ± {line['deviation']}" if line["deviation"] else ""
        ours = f"{line['mean']}{deviation}" if line["mean"] else "–"
        rows.setdefault(name, {})[line["figure"]] = (ours, line["published"])
    of = next((line["published_of"] for line in lines if line["published_of"]), "")
    return {
        "name": path.stem,
        "columns": columns,
        "published_of": of,
        "rows": [
            (name, [cells.get(column, ("–", "")) for column in columns]) for name, cells in rows.items()
        ],
    }


def _adapt(run: StudyRun) -> list[Mapping[str, Any]]:
    return [row for row in run.history if row["phase"] == "adapt"]


def _only_filled(ways: Mapping[str, Sequence[Series]]) -> dict[str, list[Series]]:
    filled = {row: [way for way in found if way.values] for row, found in ways.items()}
    return {row: found for row, found in filled.items() if found}


def _line(run: StudyRun) -> tuple[str, ...]:
    """Write a run's seed, row, last epoch and figures."""
    evaluated = [row for row in run.history if "eval/mAP" in row]
    if not evaluated:
        return (run.row, str(run.seed), "no figure yet", "", "")
    last = evaluated[-1]
    figures = (f"{100 * last[f'eval/{name}']:.1f}" for name in ("mAP", "R1"))
    return (run.row, str(run.seed), f"{last['phase']}, epoch {last['epoch']}", *figures)


def _losses(run: StudyRun) -> list[tuple[str, ...]]:
    """List what each weighted term of the last epoch of adaptation is of the whole."""
    return [
        (term.label, f"{term.weighted:.3g}", f"{100 * term.share:.0f} %")
        for term in last_terms(_adapt(run), run.weights)
    ]
