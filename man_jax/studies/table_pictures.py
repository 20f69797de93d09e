"""Draw what a table of the paper shows as pictures, from its finished runs."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from man_jax.configs import tables
from man_jax.engine.page_retrieval import feature_planes
from man_jax.engine.run_data import prepare_side
from man_jax.engine.trained_network import open_tested
from man_jax.reporting.embedding import draw_planes
from man_jax.reporting.label_accuracy import draw_label_accuracy
from man_jax.reporting.paper_table import Line
from man_jax.reporting.save_figure import save_figure
from man_jax.reporting.study_figures import draw_ends
from man_jax.runs.metrics import read_history
from man_jax.runs.multi_process import is_first_process
from man_jax.studies.planned_runs import PlannedRun
from man_jax.studies.table_plan import plain


def write_pictures(
    table: tables.Table,
    name: str,
    runs: Mapping[tuple[int, str], PlannedRun],
    lines: Sequence[Line],
    out: Path,
    *,
    published_of: str,
    mesh: Mesh,
) -> list[Path]:
    """Draw mAP by row, and the pictures that the table names, of the first seed's runs; return the files.

    All processes call this together, because they take the features together; the first one writes.
    """
    written = [out / f"{name}.png"]
    _save(draw_lines(lines, published_of), written[0])
    first = min(seed for seed, _ in runs)
    for row in table.rows:
        if table.pictures and (first, row.name) in runs:
            path = out / f"{name}_{plain(row)}.png"
            if draw_row(table.pictures, runs[first, row.name], path, mesh=mesh):
                written.append(path)
    return written


def draw_lines(lines: Sequence[Line], published_of: str):
    """Draw the mAP of each line, and the published one."""
    shown = {
        f"{line.row}; {line.subset}" if line.subset else line.row: line
        for line in lines
        if line.figures.get("mAP")
    }
    return draw_ends(
        {name: line.figures["mAP"] for name, line in shown.items()},
        published={name: line.published["mAP"] for name, line in shown.items() if "mAP" in line.published},
        of=published_of,
    )


def draw_row(what: tables.Picture, run: PlannedRun, path: Path, *, mesh: Mesh) -> bool:
    """Draw one picture of a row's run; False if the run has nothing to draw, as labels without adaptation."""
    if what == "labels":
        if not run.config.adapt.epochs:
            return False
        _save(draw_label_accuracy(read_history(run.workdir)), path)
    elif what == "rankings":
        if is_first_process():
            shutil.copyfile(run.workdir / "ranking.png", path)
    else:
        config = run.config
        network = open_tested(run.workdir, config, mesh=mesh)
        domains = {side: prepare_side(config, side) for side in ("source", "target")}
        planes = feature_planes(
            network, domains, batch_size=config.evaluation.batch_size, mesh=mesh, seed=config.seed
        )
        _save(draw_planes(planes), path)
    return True


def _save(figure: Any, path: Path) -> None:
    if is_first_process():
        save_figure(figure, path)
