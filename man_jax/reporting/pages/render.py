"""Fill the templates of the pages; a page is one file that carries its pictures in itself and needs no network."""

import base64
import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

FOLDER = Path(__file__).parent
NEEDED = {"jinja2": "jinja2", "sklearn": "scikit-learn"}
"""What pages need besides: modules, and the packages that bring them."""


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


def missing_packages() -> list[str]:
    """List the packages that a page needs and that are not installed."""
    return [package for module, package in NEEDED.items() if not _is_there(module)]


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ValueError:  # it was imported, and is none
        return False


def figure_url(figure: Figure) -> str:
    """Encode a figure as the data URL of a PNG."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
