"""Draw the mAP from each camera of the queries to each camera of the gallery."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure

from man_jax.reporting.save_figure import DPI

CELL = 0.62
"""Width and height of a cell, in inches."""
MOST_WRITTEN = 20
"""With more cameras the cells are coloured only."""


def draw_camera_matrix(
    worth: Float[np.ndarray, "I J"],
    counts: Int[np.ndarray, "I J"],
    *,
    query_cameras: Sequence[int],
    gallery_cameras: Sequence[int],
) -> Figure:
    """Draw mAP, in fractions, by camera of the query (rows) and of the gallery (columns); NaN is an empty cell.

    `counts`: how many queries each mean is of.
    """
    rows, columns = worth.shape
    figure = Figure(figsize=(CELL * columns + 1.6, CELL * rows + 1.1), dpi=DPI, layout="constrained")
    place = figure.subplots()
    picture = place.imshow(100 * worth, vmin=0, vmax=100, cmap="viridis", aspect="auto")
    place.set_xticks(range(columns), [str(camera) for camera in gallery_cameras], fontsize=8)
    place.set_yticks(range(rows), [str(camera) for camera in query_cameras], fontsize=8)
    place.set_xlabel("camid of the gallery", fontsize=9)
    place.set_ylabel("camid of the query", fontsize=9)
    place.tick_params(length=0)
    place.spines[:].set_visible(False)
    figure.colorbar(picture, ax=place, label="mAP, %")
    if max(rows, columns) <= MOST_WRITTEN:
        for (i, j), value in np.ndenumerate(worth):
            if np.isfinite(value):
                light = sum(mpl.colormaps["viridis"](float(value))[:3]) > 1.5
                text = f"{100 * value:.0f}\n({counts[i, j]})"
                place.text(
                    j, i, text, ha="center", va="center", fontsize=7, color="black" if light else "white"
                )
    return figure
