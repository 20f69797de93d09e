"""Place features on a plane, so that one sees which of them lie together (Fig. 7).

The plane is that of t-SNE (van der Maaten and Hinton, JMLR 2008) by scikit-learn. It keeps neighbours together; the
distances between groups and the size of a group mean nothing.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from man_jax.reporting.panels import add_legend, begin_panel
from man_jax.reporting.save_figure import DPI

PERPLEXITY = 30.0
LEAST = 5
"""So few points have no neighbourhoods to keep."""
SIZE = (5.0, 5.2)
"""Width and height of a panel and its legend, in inches."""


class Group(NamedTuple):
    """Points that are drawn alike."""

    label: str
    """"" leaves it out of the legend."""
    chosen: Bool[np.ndarray, " N"]
    colour: str
    marker: str = "o"
    large: bool = False


class Plane(NamedTuple):
    """A panel: where the points lie, and the groups that they are of."""

    title: str
    places: Float[np.ndarray, "N 2"]
    groups: Sequence[Group]


def place_on_plane(features: Float[np.ndarray, "N D"], *, seed: int) -> Float[np.ndarray, "N 2"]:
    """Compute the places of t-SNE, which begins with the two main components and is the same for the same seed.

    Raises ValueError if there are fewer than `LEAST` features.
    """
    from sklearn.manifold import TSNE  # slow to import

    if len(features) < LEAST:
        raise ValueError(f"{len(features)} features are too few for a plane; give {LEAST} or more")
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    return TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform(np.asarray(features))


def draw_planes(planes: Sequence[Plane]) -> Figure:
    """Draw the panels side by side, at most two in a row."""
    columns = min(2, len(planes))
    rows = math.ceil(len(planes) / columns)
    figure = Figure(figsize=(SIZE[0] * columns, SIZE[1] * rows), dpi=DPI, layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for place, plane in zip(places, planes, strict=False):
        _draw_plane(place, plane)
    for place in places[len(planes) :]:
        place.set_axis_off()
    return figure


def _draw_plane(place: Axes, plane: Plane) -> None:
    for group in plane.groups:
        x, y = plane.places[group.chosen].T
        place.scatter(
            x,
            y,
            s=70 if group.large else 12,
            c=group.colour,
            marker=group.marker,
            edgecolors="black" if group.large else "none",
            linewidths=0.6,
            alpha=1.0 if group.large else 0.75,
            label=group.label or None,
            zorder=3 if group.large else 2,
        )
    begin_panel(place, plane.title, [])
    place.grid(visible=False)
    place.set_xticks([])
    place.set_yticks([])
    place.spines[["left", "bottom"]].set_visible(False)
    add_legend(place, columns=3)
