"""Pictures of a run: ranking lists (as in Fig. 9) and curves over its epochs (as in Fig. 3 and 6).

Drawn with matplotlib's objects only: pyplot keeps global state, and picks a window system where there is none.
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

DPI = 120
RIGHT, WRONG = "#1b7837", "#c51b1b"

ACCURACIES = {
    "labels/accuracy_R": "RGB",
    "labels/accuracy_N": "NIR",
    "labels/accuracy_T": "thermal",
    "labels/accuracy_F": "fused",
    "labels/accuracy_settled": "all, after CPA",
    "labels/accuracy_reliable": "reliable, after CPA",
}
RETRIEVAL = {"eval/mAP": "mAP", "eval/R1": "R1"}
STYLES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 1)))
"""Lines differ by dash as well as by colour."""

Series = tuple[list[int], list[float]]
Row = Mapping[str, Any]


def ranking_figure(
    query_images: NDArray[np.uint8],
    match_images: NDArray[np.uint8],
    correct: NDArray[np.bool_],
    valid: NDArray[np.bool_],
    titles: Sequence[str],
    path: str | os.PathLike[str],
    *,
    modalities: Sequence[str],
    strip_width: float = 0.62,
) -> None:
    """Draw each query with its best matches, all M modalities stacked, and write a PNG atomically.

    A right match has a solid green frame and a tick, a wrong one a dashed red frame and a cross.

    Args:
        query_images: [q, M, H, W, 3].
        match_images: [q, k, M, H, W, 3], best match first.
        correct: [q, k], whether the match shows the query's object.
        valid: [q, k], false where the list is shorter than k; such a place stays empty.
        titles: one line a query, e.g. "pid 12, camid 3".
        modalities: the M names, e.g. "RNT".
        path: where the PNG goes; the folder is made.
        strip_width: width of one triple, in inches at 120 pixels an inch.

    Raises:
        ValueError: the shapes disagree or there is no query.
    """
    _check_shapes(query_images, match_images, correct, valid, titles, len(modalities))
    num_queries, num_matches = correct.shape
    height, width = query_images.shape[2:4]
    strip_height = strip_width * len(modalities) * height / width
    num_columns = _balanced_columns(num_queries, strip_height / ((num_matches + 1) * strip_width))
    num_rows = math.ceil(num_queries / num_columns)
    size = (num_columns * (num_matches + 2) * 1.12 * strip_width, num_rows * (strip_height + 0.75))
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    panels = figure.subfigures(num_rows, num_columns, squeeze=False, hspace=0.02, wspace=0.03).ravel()
    for query, panel in enumerate(panels[:num_queries]):
        panel.suptitle(titles[query], fontsize=9, x=0.02, ha="left")
        places = panel.subplots(1, num_matches + 1)
        _draw_triple(places[0], query_images[query])
        places[0].set_title("query", fontsize=8)
        _name_modalities(places[0], modalities, height)
        for place, images, is_right, is_there, rank in zip(
            places[1:],
            match_images[query],
            correct[query],
            valid[query],
            range(1, num_matches + 1),
            strict=True,
        ):
            place.set_axis_off()
            if is_there:
                place.set_axis_on()
                _draw_triple(place, images)
                _judge(place, rank, right=bool(is_right))
    _save(figure, path)


def curves_figure(history: Iterable[Row], path: str | os.PathLike[str]) -> None:
    """Draw what a run's rows tell over its epochs as small multiples, and write a PNG atomically.

    Retrieval on the target against the level before adaptation, the pseudo-labels' accuracy by modality, the share
    of reliable samples, then every loss term: first of the adaptation, one panel each, then of the pre-training
    in one. A panel without figures is left out; of several rows of an epoch the last one counts.

    Args:
        history: rows as `read_history` gives them, with "epoch" and "phase" (pretrain or adapt).
        path: where the PNG goes; the folder is made.

    Raises:
        ValueError: no row has a figure to draw.
    """
    rows = list(history)
    pretrain = [row for row in rows if row.get("phase") == "pretrain"]
    adapt = [row for row in rows if row.get("phase") == "adapt"]
    panels = [
        ("retrieval on the target", _named_series(adapt, RETRIEVAL)),
        ("accuracy of the pseudo-labels", _named_series(adapt, ACCURACIES)),
        ("share of reliable samples", _named_series(adapt, {"labels/reliable": "reliable"})),
        *((f"loss: {name}", {name: series}) for name, series in _losses(adapt).items()),
        ("losses of the pre-training", _losses(pretrain)),
    ]
    panels = [(title, curves) for title, curves in panels if curves]
    if not panels:
        raise ValueError(
            f"none of the {len(rows)} rows of history has a figure to draw, so there are no curves"
        )
    num_columns = min(3, len(panels))
    num_rows = math.ceil(len(panels) / num_columns)
    figure = Figure(figsize=(4.4 * num_columns, 2.9 * num_rows), dpi=DPI, layout="constrained")
    places = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for place, (title, curves) in zip(places, panels, strict=False):
        _draw_curves(place, title, curves, percent=not title.startswith("loss"))
    if panels[0][0] == "retrieval on the target":
        _draw_source_only_level(places[0], pretrain, list(panels[0][1]))
    for place in places[len(panels) :]:
        place.set_axis_off()
    _save(figure, path)


def _check_shapes(
    query_images: NDArray, match_images: NDArray, correct: NDArray, valid: NDArray, titles: Any, m: int
):
    q, k = correct.shape
    expected = {"query_images": (q, m), "match_images": (q, k, m), "valid": (q, k), "titles": (q,)}
    actual = {
        "query_images": query_images.shape[:2],
        "match_images": match_images.shape[:3],
        "valid": valid.shape,
        "titles": (len(titles),),
    }
    wrong = [
        f"{name} begins {actual[name]}, not {shape}"
        for name, shape in expected.items()
        if actual[name] != shape
    ]
    if wrong or 0 in (q, k):
        raise ValueError(f"correct is [q, k] = {correct.shape}, both at least 1; " + "; ".join(wrong))


def _balanced_columns(num_panels: int, aspect: float) -> int:
    """Columns of panels of height/width `aspect` that bring the whole nearest to a screen's 3:4."""
    candidates = range(1, num_panels + 1)
    return min(candidates, key=lambda n: abs(math.log(math.ceil(num_panels / n) * aspect / n / 0.75)))


def _draw_triple(place: Axes, images: NDArray[np.uint8]) -> None:
    """The modalities of one triple [M, H, W, 3] below one another."""
    place.imshow(np.concatenate(images, axis=0), interpolation="antialiased")
    place.set_xticks([])
    place.set_yticks([])


def _name_modalities(place: Axes, modalities: Sequence[str], height: int) -> None:
    place.set_yticks([(m + 0.5) * height for m in range(len(modalities))], modalities, fontsize=8)
    place.tick_params(length=0)


def _judge(place: Axes, rank: int, *, right: bool) -> None:
    colour = RIGHT if right else WRONG
    place.set_title(f"{rank} {'✓' if right else '✗'}", fontsize=9, color=colour, fontweight="bold", pad=3)
    for spine in place.spines.values():
        spine.set(edgecolor=colour, linewidth=2.5, linestyle="-" if right else (0, (2, 1)))


def _series(rows: Iterable[Row], key: str) -> Series:
    """Epochs and values of one key, where it is there and not null; the last row of an epoch counts."""
    values = {row["epoch"]: row[key] for row in rows if row.get(key) is not None and "epoch" in row}
    return sorted(values), [values[epoch] for epoch in sorted(values)]


def _named_series(rows: Sequence[Row], names: Mapping[str, str]) -> dict[str, Series]:
    curves = {label: _series(rows, key) for key, label in names.items()}
    return {label: series for label, series in curves.items() if series[0]}


def _losses(rows: Sequence[Row]) -> dict[str, Series]:
    """Every loss term by its name for people, in the order of first appearance."""
    keys = dict.fromkeys(key for row in rows for key in row if key.startswith("loss/"))
    return _named_series(rows, {key: key.removeprefix("loss/").replace("_", " ") for key in keys})


def _draw_curves(place: Axes, title: str, curves: Mapping[str, Series], *, percent: bool) -> None:
    for number, (label, (epochs, values)) in enumerate(curves.items()):
        shown = [100 * value for value in values] if percent else values
        marker = "o" if len(epochs) <= 15 else None  # one epoch alone must be visible, forty must not clutter
        style = STYLES[number % len(STYLES)]
        place.plot(epochs, shown, label=label, linestyle=style, marker=marker, markersize=3, linewidth=1.6)
    place.set_title(title, fontsize=10, loc="left")
    place.set_xlabel("epoch", fontsize=9)
    place.set_ylabel("%" if percent else "", fontsize=9)
    place.tick_params(labelsize=8)
    place.xaxis.set_major_locator(MaxNLocator(integer=True))
    place.grid(alpha=0.3)
    place.spines[["top", "right"]].set_visible(False)
    if len(curves) > 3:  # too many to find a free corner
        place.legend(fontsize=7.5, frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    elif len(curves) > 1:
        place.legend(fontsize=7.5, framealpha=0.85)


def _draw_source_only_level(place: Axes, pretrain: Sequence[Row], labels: Sequence[str]) -> None:
    """A dashed level for each drawn curve: its last value before the adaptation began."""
    before = _named_series(pretrain, RETRIEVAL)
    for line in list(place.get_lines()):
        label = str(line.get_label())
        if label in labels and label in before:
            level = 100 * before[label][1][-1]
            place.axhline(level, color=line.get_color(), linestyle=(0, (4, 3)), linewidth=1.1, alpha=0.8)
            place.annotate(
                f"{label}, source only",
                (1, level),
                xycoords=("axes fraction", "data"),
                xytext=(-2, 2),
                textcoords="offset points",
                ha="right",
                va="bottom",
                fontsize=7,
                color=line.get_color(),
            )


def _save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write the whole PNG under another name first, so that a reader never finds half a picture."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    FigureCanvasAgg(figure).print_png(partial)
    partial.replace(path)
