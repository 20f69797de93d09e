"""Where figures are drawn and how they are written.

Matplotlib's objects only: pyplot keeps global state, and picks a window system where there is none.
"""

import os
from contextlib import suppress
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DPI = 120


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write the whole PNG under another name first, so that a reader never finds half a picture."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        FigureCanvasAgg(figure).print_png(partial)
        partial.replace(path)
    except OSError:
        with suppress(OSError):
            partial.unlink()  # its bytes are room
        raise
