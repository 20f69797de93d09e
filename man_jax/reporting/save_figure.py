"""Write figures, and prepare the text that they show.

Only Matplotlib's objects are used, because pyplot has global state and looks for a window system.
"""

import os
from contextlib import suppress
from functools import cache
from pathlib import Path

from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font

DPI = 120
FONT = "DejaVu Sans"
"""The font comes with matplotlib, so that a figure is the same on every machine."""


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


def replace_missing_glyphs(text: str) -> str:
    """Replace letters that the font lacks, such as Chinese ones, by their codes, as in \\u8f66, and line ends too.

    A dollar sign is escaped, because two of them would begin a formula.
    """
    shown = (
        letter if letter.isprintable() and ord(letter) in _glyphs() else ascii(letter)[1:-1]
        for letter in text
    )
    return "".join(shown).replace("$", r"\$")


def shorten(text: str, longest: int) -> str:
    """Leave out the middle of a text of more than `longest` letters, because names often differ at their ends."""
    if len(text) <= longest:
        return text
    tail = (longest - 1) // 2
    return f"{text[: longest - 1 - tail]}…{text[len(text) - tail :]}"


def width_of(text: str, size: float) -> float:
    """Measure a line of text of `size` points, in inches."""
    return sum(map(_advance, text)) * size / 72


def wrap(text: str, *, inches: float, size: float) -> str:
    """Break a text of `size` points into lines that fit a width; a word that is wider is broken too."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".lstrip()
        if width_of(joined, size) <= inches:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if width_of(lines[-1] + letter, size) > inches and lines[-1]:
                lines.append("")
            lines[-1] += letter
    return "\n".join(lines)


@cache
def _font() -> FT2Font:
    font = FT2Font(font_manager.findfont(FONT))
    font.set_size(1000, 72)
    return font


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(_font().get_charmap())


@cache
def _advance(letter: str) -> float:
    """Measure the width of a letter, divided by the size of the font."""
    return _font().load_char(ord(letter)).linearHoriAdvance / 65536 / 1000
