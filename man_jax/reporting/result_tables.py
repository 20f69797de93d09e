"""Write results as text: one run's rows for the terminal, several seeds in Markdown for the README."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

COLUMNS = ("mAP", "R1", "R5", "R10", "mINP")
CHOSEN_ON_TEST = "best_on_test"
MISSING = "–"
NOISE = "within noise"
CLEAR = 2.0
"""A gap is clear if it is more than this times the noise."""

SEED_ROWS = ("source_only", "adapted", "oracle")
SEED_COLUMNS = ("mAP", "R1")


def results_table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Write one run as aligned plain text, in percent; `rows` maps source_only, adapted, ... to its fractions.

    A figure that is missing or None shows as a dash. The row `best_on_test` gets a foot note: its epoch was
    chosen with the test labels, so it is no result.
    """
    marks = {name: f"{name} *" if name == CHOSEN_ON_TEST else name for name in rows}
    cells = [["", *COLUMNS]]
    cells += [[marks[name], *(_percent(row.get(column)) for column in COLUMNS)] for name, row in rows.items()]
    lines = _aligned(cells)
    lines.insert(1, "-" * len(lines[0]))
    lines.append("All figures in %.")
    if CHOSEN_ON_TEST in rows:
        lines.append("* epoch chosen on test data: an upper bound for comparison, not a result.")
    return "\n".join(lines)


def intervals_table(rows: Mapping[str, Mapping[str, tuple[float, float, float]]]) -> str:
    """Write the intervals of figures as aligned plain text, in percent: median [low, high].

    Args:
        rows: by row and figure, (median, low, high) in fractions; all rows have the same figures.
    """
    figures = next(iter(rows.values()))
    cells = [["", *figures]]
    for name, row in rows.items():
        cells.append(
            [name, *(f"{_percent(m)} [{_percent(low)}, {_percent(high)}]" for m, low, high in row.values())]
        )
    lines = _aligned(cells)
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def cameras_table(
    query_cameras: Sequence[int],
    gallery_cameras: Sequence[int],
    mean_precision: Sequence[Sequence[float]],
    by_camera: Mapping[int, Mapping[str, float] | None],
) -> str:
    """Write mAP from camera to camera as aligned plain text, in percent; NaN shows as a dash.

    Args:
        query_cameras: the cameras of the lines.
        gallery_cameras: the cameras of the columns.
        mean_precision: mAP in fractions, a line for each camera of queries.
        by_camera: the figures of each camera's queries over the whole gallery; None if they have none.
    """
    cells = [["queries of", *(f"camera {camid}" for camid in gallery_cameras), "all: mAP", "R1"]]
    for camid, line in zip(query_cameras, mean_precision, strict=True):
        whole = by_camera[camid] or {}
        numbers = [None if math.isnan(value) else value for value in line]
        cells.append([f"camera {camid}", *map(_percent, [*numbers, whole.get("mAP"), whole.get("R1")])])
    lines = _aligned(cells)
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def seeds_table(results: Sequence[Mapping[str, Any]]) -> str:
    """Write several seeds as a Markdown table, in percent, with mean ± sample standard deviation below.

        gap closed = (adapted - source_only) / (oracle - source_only)

    The gap closed in the last row is computed from the means, because small denominators would dominate the mean of the
    gaps. It is a dash if the oracle is missing or no better than source_only. It is "within noise" if oracle -
    source_only is at most twice its deviation over the seeds, or twice what one query is worth, because a share of such
    a gap has no meaning.

    Args:
        results: one mapping a seed: `{"seed": 0, "source_only": {"mAP": 0.3, "R1": 0.4}, "adapted": {...},
            "oracle": {...}, "valid_queries": 120}`, in fractions; the last may be missing.

    Raises:
        ValueError: no result, or a seed that occurs twice.
    """
    seeds = [result["seed"] for result in results]
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"results must hold each seed once and at least one seed, got seeds {seeds}")
    titles = [f"{row} {column}" for row in SEED_ROWS for column in SEED_COLUMNS]
    titles += [f"gap closed, {column}" for column in SEED_COLUMNS]
    lines = [markdown_row(["seed", *titles]), markdown_row(["---:"] * (len(titles) + 1))]
    noise = {column: _noise(results, column) for column in SEED_COLUMNS}
    for result in results:
        figures = {(row, col): result.get(row, {}).get(col) for row in SEED_ROWS for col in SEED_COLUMNS}
        cells = [str(result["seed"]), *map(_percent, figures.values()), *_gaps(figures, noise)]
        lines.append(markdown_row(cells))
    samples = {
        (row, column): [result.get(row, {}).get(column) for result in results]
        for row in SEED_ROWS
        for column in SEED_COLUMNS
    }
    means = {key: _mean(values) for key, values in samples.items()}
    lines.append(
        markdown_row(["**mean ± std**", *map(mean_and_deviation, samples.values()), *_gaps(means, noise)])
    )
    return "\n".join([*lines, *_noise_note(lines, noise)])


def rows_table(results: Sequence[Mapping[str, Any]]) -> str:
    """Write what each other reading gains or costs, as Markdown: mean ± sample deviation over seeds, in percent.

    The difference is taken seed by seed, from the same pre-trained weights, so its deviation is that of the change
    and not of the weights.

    Args:
        results: one mapping a seed, with `adapted` and, under `rows`, the figures of each row, in fractions.
    """
    titles = [title for column in SEED_COLUMNS for title in (column, f"{column}, difference")]
    lines = [markdown_row(["row", *titles]), markdown_row(["---", *["---:"] * len(titles)])]
    adapted = [result["adapted"] for result in results]
    for name in ("adapted", *results[0]["rows"]):
        figures = adapted if name == "adapted" else [result["rows"][name] for result in results]
        cells = []
        for column in SEED_COLUMNS:
            values = [each[column] for each in figures]
            changes = [value - each[column] for value, each in zip(values, adapted, strict=True)]
            cells += [
                mean_and_deviation(values),
                MISSING if name == "adapted" else mean_and_deviation(changes),
            ]
        lines.append(markdown_row([f"`{name}`" if name != "adapted" else "the method", *cells]))
    return "\n".join(lines)


def _gaps(figures: Mapping[tuple[str, str], float | None], noise: Mapping[str, float]) -> list[str]:
    """Compute the share of the gap closed in percent, one string for each of `SEED_COLUMNS`."""
    return [
        _gap_closed(*(figures[row, column] for row in SEED_ROWS), noise=noise[column])
        for column in SEED_COLUMNS
    ]


def _gap_closed(
    source_only: float | None, adapted: float | None, oracle: float | None, *, noise: float
) -> str:
    if source_only is None or adapted is None or oracle is None or oracle <= source_only:
        return MISSING
    if oracle - source_only <= CLEAR * noise:
        return NOISE
    return _percent((adapted - source_only) / (oracle - source_only))


def _noise(results: Sequence[Mapping[str, Any]], column: str) -> float:
    """Compute by how much oracle - source_only varies by chance: over the seeds, or by one query of the fewest."""
    gaps = [
        result["oracle"][column] - result["source_only"][column]
        for result in results
        if all(result.get(row, {}).get(column) is not None for row in ("oracle", "source_only"))
    ]
    queries = [result["valid_queries"] for result in results if result.get("valid_queries")]
    return max(
        statistics.stdev(gaps) if len(gaps) > 1 else 0.0,
        1 / min(queries) if queries else 0.0,
    )


def _noise_note(lines: Sequence[str], noise: Mapping[str, float]) -> list[str]:
    """Explain "within noise", if the table says so."""
    if not any(NOISE in line for line in lines):
        return []
    limits = " and ".join(f"{_percent(CLEAR * noise[column])} of {column}" for column in SEED_COLUMNS)
    return [
        "",
        f"{NOISE}: oracle − source_only is at most {limits}, twice its deviation over the seeds or twice what one "
        f"query is worth, so no share of it is given.",
    ]


def _mean(values: Sequence[float | None]) -> float | None:
    """Average over all seeds; None if one is missing, because rows would then be means of different seeds."""
    present = [value for value in values if value is not None]
    return statistics.fmean(present) if len(present) == len(values) else None


def mean_and_deviation(values: Sequence[float | None]) -> str:
    """Write fractions as mean ± sample deviation in percent; a dash if one is None."""
    present = [value for value in values if value is not None]
    if len(present) < len(values):
        return MISSING
    if len(present) < 2:
        return _percent(present[0])
    return f"{_percent(statistics.fmean(present))} ± {_percent(statistics.stdev(present))}"


def _percent(fraction: float | None) -> str:
    return MISSING if fraction is None else f"{100 * fraction:z.1f}"  # z: no minus before what is zero


def markdown_row(cells: Iterable[str]) -> str:
    """Write the cells of a row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    """Align rows to equal width: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in cells
    ]
