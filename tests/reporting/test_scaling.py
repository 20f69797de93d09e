import numpy as np
import pytest

from man_jax.reporting.scaling import Point, draw_scaling

WEAK = {
    "v5e, 4": [Point(8, 30.0, 2000.0, True), Point(16, 31.0, 4000.0, True)],
    "v4, 4": [Point(8, 44.0, 1400.0, True)],
}
STRONG = {
    "v5e, 64": [Point(8, 90.0, 700.0, True), Point(16, 50.0, 1300.0, True)],
    "h100, traced, 64": [Point(1, 9.0, 14000.0, False), Point(8, 1.2, 100000.0, False)],
}


def drawn(places, row: int, column: int) -> dict[str, np.ndarray]:
    return {line.get_label(): np.stack(line.get_data(), 1) for line in places[2 * row + column].lines}


@pytest.mark.parametrize(
    ("row", "column", "value"),
    [(0, 0, "milliseconds"), (0, 1, "rate"), (1, 0, "milliseconds"), (1, 1, "rate")],
)
def test_every_point_is_at_its_chips_and_its_value(row, column, value):
    places = draw_scaling(WEAK, STRONG, title="").axes
    for name, points in (WEAK, STRONG)[row].items():
        expected = [(point.chips, getattr(point, value)) for point in points]
        np.testing.assert_array_equal(drawn(places, row, column)[name], expected)


@pytest.mark.parametrize(
    ("row", "column", "expected"), [(0, 0, 30.0), (0, 1, 4000.0), (1, 0, 45.0), (1, 1, 1400.0)]
)
def test_the_ideal_keeps_a_step_for_more_triples_and_divides_it_for_the_same(row, column, expected):
    dotted = [
        line
        for line in draw_scaling(WEAK, STRONG, title="").axes[2 * row + column].lines
        if line.get_linestyle() == ":"
    ]
    assert max(dotted, key=lambda line: len(line.get_ydata())).get_ydata()[-1] == pytest.approx(expected)


def test_what_was_only_traced_is_hollow():
    places = draw_scaling(WEAK, STRONG, title="").axes
    hollow = [[line for line in place.lines if line.get_markerfacecolor() == "white"] for place in places]
    assert [len(lines) for lines in hollow] == [0, 0, 1, 1]
