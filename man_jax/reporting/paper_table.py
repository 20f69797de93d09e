"""Write a table of the paper with our figures beside the published ones, as Markdown and as CSV."""

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from man_jax.reporting.result_tables import MISSING, markdown_row, mean_and_deviation

COSTS = ("epoch", "test", "memory")
COST_TITLES = {"epoch": "s / epoch", "test": "s / test", "memory": "step, MiB"}
PUBLISHED_COSTS = {"epoch": "s / epoch", "test": "s / test", "memory": "MB"}


class Line(NamedTuple):
    """A line of a table: what it is, our figures of each seed by column, and the published ones by column."""

    row: str
    subset: str
    """Modalities at test; "" if all."""
    figures: Mapping[str, Sequence[float]]
    """Fractions for retrieval; seconds and MiB for costs. A column without a figure is missing."""
    published: Mapping[str, float]
    """Percent; seconds and MB for costs."""
    reason: str = ""
    """Why the row is not run; "" if it is."""


def paper_table(lines: Sequence[Line], *, columns: Sequence[str], published_of: str, title: str) -> str:
    """Write the lines as Markdown: mean ± sample deviation over seeds in percent, published figures on the right.

    `published_of` is the transfer that the published figures are of; "" if there are none.
    """
    costs = [name for name in COSTS if any(name in line.figures for line in lines)]
    published = [
        name for name in (*columns, *COSTS) if published_of and any(name in line.published for line in lines)
    ]
    heads = [*columns, *(COST_TITLES[name] for name in costs)]
    heads += [f"*{PUBLISHED_COSTS.get(name, name)}, published*" for name in published]
    text = [f"**{title}**", "", markdown_row(["", *heads]), markdown_row(["---", *["---:"] * len(heads)])]
    for line in lines:
        ours = [
            mean_and_deviation(line.figures[name]) if name in line.figures else MISSING for name in columns
        ]
        ours += [_cost(line.figures.get(name)) for name in costs]
        theirs = [f"*{line.published[name]:g}*" if name in line.published else MISSING for name in published]
        text.append(markdown_row([_name(line), *ours, *theirs]))
    return "\n".join([*text, "", *_notes(lines, published_of)])


def paper_csv(lines: Sequence[Line], *, columns: Sequence[str], published_of: str) -> str:
    """Write one line for each figure, ours and the published one, in percent; costs in seconds, MiB and MB."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["row", "modalities", "figure", "mean", "deviation", "runs", "published", "published_of", "not_run"]
    )
    for line in lines:
        for name in (*columns, *COSTS):
            ours, theirs = list(line.figures.get(name, ())), line.published.get(name, "")
            if not ours and theirs == "" and name in COSTS:
                continue
            scale = 1 if name in COSTS else 100
            mean = f"{scale * statistics.fmean(ours):.2f}" if ours else ""
            deviation = f"{scale * statistics.stdev(ours):.2f}" if len(ours) > 1 else ""
            of = published_of if theirs != "" else ""
            writer.writerow(
                [line.row, line.subset, name, mean, deviation, len(ours), theirs, of, line.reason]
            )
    return file.getvalue()


def _name(line: Line) -> str:
    return f"{line.row}; {line.subset} at test" if line.subset else line.row


def _cost(values: Sequence[float] | None) -> str:
    return MISSING if not values else f"{statistics.median(values):.3g}"


def _notes(lines: Sequence[Line], published_of: str) -> list[str]:
    runs = max((len(values) for line in lines for values in line.figures.values()), default=0)
    notes = [
        f"In %, mean ± sample standard deviation over {runs} seeds." if runs > 1 else "In %, one run a row."
    ]
    if published_of:
        notes.append(
            f"*Published* figures are the paper's, of {published_of}; we have not run that transfer."
        )
    notes += [f"Not run: {reason}" for reason in dict.fromkeys(_reason(line) for line in lines) if reason]
    return notes


def _reason(line: Line) -> str:
    return f"{line.row}: {line.reason}" if line.reason else ""
