"""Where figures are drawn, how they are written, and what text they can show.

Matplotlib's objects only: pyplot keeps global state, and picks a window system where there is none.
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
"""It comes with matplotlib, so that a figure is the same on every machine."""


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
    """Replace what the font has no glyph for, Chinese for one, by its code, as in \\u8f66, and end no line.

    A dollar sign is escaped: two of them would begin mathematics.
    """
    shown = (
        letter if letter.isprintable() and ord(letter) in _glyphs() else ascii(letter)[1:-1]
        for letter in text
    )
    return "".join(shown).replace("$", r"\$")


def shorten(text: str, longest: int) -> str:
    """Leave out the middle of a text of more than `longest` letters; its ends tell it from others."""
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
    """Width of a letter over the size of the font."""
    return _font().load_char(ord(letter)).linearHoriAdvance / 65536 / 1000
