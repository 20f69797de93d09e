"""Texts that fit and that the font can show."""

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from man_jax.reporting.save_figure import replace_missing_glyphs, shorten, width_of, wrap


def measured(text: str, size: float) -> float:
    """Width in inches, as matplotlib has it."""
    figure = Figure(dpi=100)
    shown = figure.text(0, 0, text, fontsize=size)
    return shown.get_window_extent(FigureCanvasAgg(figure).get_renderer()).width / 100


@pytest.mark.parametrize("text", ["seed 0, mAP 60.8 %", "WWWWMMMM", "iiiillll", "α → β"])
def test_a_text_s_width_is_measured(text):
    assert width_of(text, 10) == pytest.approx(measured(text, 10), rel=0.05)


@pytest.mark.parametrize(
    "text", ["a few words of one or two letters " * 4, "W" * 80, f"short {'x' * 60} short"]
)
def test_no_line_is_wider_than_it_may_be_and_no_letter_is_lost(text):
    lines = wrap(text, inches=2, size=9).split("\n")
    assert len(lines) > 1
    assert max(width_of(line, 9) for line in lines) <= 2
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [("α → ✓", "α → ✓"), ("车1", r"\u8f661"), ("a\nb", r"a\nb"), ("\udc80", r"\udc80"), ("$x$", r"\$x\$")],
)
def test_what_the_font_cannot_show_is_written_as_its_code(text, shown):
    assert replace_missing_glyphs(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"), [("123456789", "123456789"), ("1234567890", "1234…7890"), ("ab" * 20, "abab…abab")]
)
def test_a_long_text_keeps_its_ends(text, shown):
    short = shorten(text, 9)
    assert len(short) <= 9
    assert short == shown
