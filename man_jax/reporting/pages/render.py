"""Fill the templates of the pages; a page is one file that carries its pictures in itself and needs no network."""

import base64
import io
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

FOLDER = Path(__file__).parent


def render(template: str, **content: Any) -> str:
    """Fill the template of this name, e.g. run.html, with the content; a name that it lacks is an error.

    Raises ImportError if jinja2 is not installed.
    """
    import jinja2  # an extra

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**content)


def figure_url(figure: Figure) -> str:
    """Encode a figure as the data URL of a PNG."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
