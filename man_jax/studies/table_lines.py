"""Make the lines of a table of the paper from its finished runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from jax.sharding import Mesh

from man_jax.configs import tables
from man_jax.engine.footprint import Size
from man_jax.engine.table_figures import costs, figures_by_subset
from man_jax.reporting.paper_table import COSTS, Line
from man_jax.studies.planned_runs import PlannedRun


def table_lines(
    table: tables.Table,
    runs: Mapping[tuple[int, str], PlannedRun],
    summaries: Mapping[tuple[int, str], Mapping[str, Any]],
    *,
    published: Mapping[str, Sequence[float]],
    refused: Mapping[str, str],
    sizes: Mapping[str, Size],
    mesh: Mesh,
) -> list[Line]:
    """Make the lines of a table, one for each row and subset of the modalities at test.

    Args:
        runs, summaries: by seed and row.
        published: the figures of each row, in the order of `Table.columns`.
        refused: the rows that are not run, with the reason.
        sizes: training triples and identities of source and target.
    """
    lines = []
    for row in table.rows:
        found: dict[str, dict[str, list[float]]] = {subset: {} for subset in table.subsets or ("",)}
        for each, run in runs.items():
            if each[1] != row.name:
                continue
            figures = {"": summaries[each]["adapted"]}
            if table.subsets:
                figures = figures_by_subset(run.config, run.workdir, table.subsets, mesh=mesh)
            if table.costs:
                figures[""] = {**figures[""], **costs(run.config, run.workdir, sizes)}
            for subset, values in figures.items():
                for name, value in values.items():
                    found[subset].setdefault(name, []).append(value)
        told = iter(published.get(row.name, ()))
        for subset, figures in found.items():
            theirs = dict(zip(table.columns, told, strict=False))
            if table.costs:
                theirs |= dict(zip(COSTS, told, strict=False))
            lines.append(Line(row.name, subset, figures, theirs, refused.get(row.name, "")))
    return lines
