"""Fill the template of the page with the content, and write it atomically."""

from pathlib import Path

from data_pipelines.contact_sheet.content import describe
from data_pipelines.contact_sheet.strips import STRIP_HEIGHT, strip_width
from data_pipelines.reading.printable import printable
from data_pipelines.reading.records import DataError
from data_pipelines.session.disk import replace_file, writing
from data_pipelines.storing.prepared import load, read_table

MODALITY_NAMES = {"R": "RGB", "N": "near-infrared", "T": "thermal"}
TEMPLATE = Path(__file__).with_name("page.html")
MIN_HEIGHT = 96
MAX_WIDTH = 390
"""Pixels on the screen: a strip is at least MIN_HEIGHT high and at most MAX_WIDTH, a third of the page, wide."""


def write_page(prepared: Path, out: Path, *, triples: int, identities: int, seed: int) -> None:
    """Write one HTML file that shows the data set in `prepared`, the folder of a preparation or one above it.

    `triples` and `identities` are how many of each split to show. Raises DataError if there is not exactly one data
    set below `prepared`, or if jinja2 is not installed.
    """
    folder = _only_preparation(prepared)
    data = load(folder)
    height, width = data.image_size
    aspect = strip_width(len(data.modalities), width) / height
    strip_height = round(min(max(height, MIN_HEIGHT), STRIP_HEIGHT, MAX_WIDTH / aspect))
    html = _template().render(
        data=data,
        modalities=", ".join(MODALITY_NAMES[name] for name in data.modalities),
        warnings=list(map(printable, (read_table(folder) or {}).get("warnings", ()))),
        splits=describe(data, triples=triples, identities=identities, seed=seed),
        height=height,
        width=width,
        seed=seed,
        strip_height=strip_height,
        strip_width=round(strip_height * aspect),
    )
    with writing(out):
        replace_file(out, html.encode())


def _template():
    try:
        import jinja2
    except ImportError as error:
        raise DataError("the contact sheet needs jinja2; pip install jinja2") from error
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def _only_preparation(folder: Path) -> Path:
    found = sorted(path.parent for path in folder.rglob("dataset_info.json"))
    if len(found) != 1:
        what = ", ".join(str(path) for path in found) if found else "none"
        raise DataError(f"{folder}: expected one prepared data set in or below it, found {what}; name one")
    return found[0]
