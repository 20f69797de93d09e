"""Ranking lists, as in Fig. 9: a query and its best matches, right ones and wrong ones."""

import math
import os
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from man_jax.reporting.canvas import DPI, save_figure

RIGHT, WRONG = "#1b7837", "#c51b1b"


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
    save_figure(figure, path)


def _check_shapes(
    query_images: NDArray,
    match_images: NDArray,
    correct: NDArray,
    valid: NDArray,
    titles: Sequence[str],
    m: int,
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
