"""Figures are files of the expected size with the expected marks; their looks are judged by eye."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from man_jax.reporting.canvas import DPI
from man_jax.reporting.curves import curves_figure
from man_jax.reporting.ranking_lists import RIGHT, WRONG, ranking_figure


def draw_ranking(path, *, correct, valid=None, modalities="RNT"):
    (q, k), m = correct.shape, len(modalities)
    valid = np.ones_like(correct) if valid is None else valid
    query, matches = np.full((q, m, 8, 4, 3), 90, np.uint8), np.full((q, k, m, 8, 4, 3), 90, np.uint8)
    titles = [f"pid {i}, camid 0" for i in range(q)]
    ranking_figure(query, matches, correct, valid, titles, path, modalities=modalities)


def pixels_of(path, colour):
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return int((np.asarray(Image.open(path).convert("RGB")) == rgb).all(axis=-1).sum())


def size_of(path):
    with Image.open(path) as image:
        return image.size


def adapt_rows(num_epochs):
    return [{"epoch": e, "phase": "adapt", "eval/mAP": 0.1 * e, "loss/total": 1.0} for e in range(num_epochs)]


@pytest.mark.parametrize("modalities", ["RNT", "RT", "N"])
def test_a_ranking_figure_has_the_size_its_strips_ask_for(tmp_path, modalities):
    draw_ranking(tmp_path / "r.png", correct=np.ones((1, 2), bool), modalities=modalities)
    expected = (4 * 1.12 * 0.62 * DPI, (0.62 * len(modalities) * 2 + 0.75) * DPI)
    assert size_of(tmp_path / "r.png") == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(("right", "there", "absent"), [(True, RIGHT, WRONG), (False, WRONG, RIGHT)])
def test_right_and_wrong_matches_have_frames_of_their_own(tmp_path, right, there, absent):
    draw_ranking(tmp_path / "r.png", correct=np.full((1, 2), right))
    assert (pixels_of(tmp_path / "r.png", there) > 300, pixels_of(tmp_path / "r.png", absent)) == (True, 0)


def test_each_query_has_frames_and_matches_of_its_own(tmp_path):
    correct, valid = np.array([[True, True], [False, False]]), np.array([[True, True], [True, False]])
    draw_ranking(tmp_path / "r.png", correct=correct, valid=valid)
    draw_ranking(tmp_path / "right.png", correct=correct[:1], valid=valid[:1])
    assert pixels_of(tmp_path / "r.png", RIGHT) > 0.8 * pixels_of(tmp_path / "right.png", RIGHT)
    both = pixels_of(tmp_path / "r.png", WRONG)
    draw_ranking(tmp_path / "r.png", correct=correct, valid=np.ones((2, 2), bool))
    assert 0 < both < 0.7 * pixels_of(tmp_path / "r.png", WRONG)


def test_a_place_without_a_match_stays_empty(tmp_path):
    draw_ranking(tmp_path / "r.png", correct=np.ones((1, 2), bool), valid=np.zeros((1, 2), bool))
    assert pixels_of(tmp_path / "r.png", RIGHT) == 0


def test_ranking_arrays_that_disagree_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"valid begins \(1, 3\), not \(1, 2\)"):
        draw_ranking(tmp_path / "r.png", correct=np.ones((1, 2), bool), valid=np.ones((1, 3), bool))


def test_three_panels_stand_in_one_row(tmp_path):
    curves_figure([row | {"loss/pda": 0.1} for row in adapt_rows(3)], tmp_path / "c.png")
    assert size_of(tmp_path / "c.png") == pytest.approx((3 * 4.4 * DPI, 2.9 * DPI), abs=1)


def test_panels_without_figures_are_left_out(tmp_path):
    curves_figure([{"epoch": 1, "phase": "adapt", "loss/total": 1.0}, {"phase": "adapt"}], tmp_path / "c.png")
    assert size_of(tmp_path / "c.png") == pytest.approx((4.4 * DPI, 2.9 * DPI), abs=1)


def test_the_source_only_level_is_drawn(tmp_path):
    rows = adapt_rows(3)
    curves_figure(rows, tmp_path / "without.png")
    curves_figure([{"epoch": 9, "phase": "pretrain", "eval/mAP": 0.05}, *rows], tmp_path / "with.png")
    assert pixels_of(tmp_path / "with.png", "#1f77b4") != pixels_of(tmp_path / "without.png", "#1f77b4")


@pytest.fixture
def lines(monkeypatch) -> dict[str, list[float]]:
    """The values of every line that is drawn, by its label; levels by the text beside them."""
    drawn: dict[str, list[float]] = {}
    plot, annotate = Axes.plot, Axes.annotate

    def plotting(self, epochs, values, *, label, **style):
        drawn[label] = list(values)
        return plot(self, epochs, values, label=label, **style)

    def annotating(self, text, place, **style):
        drawn[text] = [place[1]]
        return annotate(self, text, place, **style)

    monkeypatch.setattr(Axes, "plot", plotting)
    monkeypatch.setattr(Axes, "annotate", annotating)
    return drawn


def test_shares_are_drawn_in_percent_losses_as_they_are_and_the_level_is_the_last(tmp_path, lines):
    modalities = {f"labels/accuracy_{name}": 0.1 * i for i, name in enumerate("RNTF", start=1)}
    rows = [{"epoch": e, "phase": "pretrain", "eval/mAP": 0.05 * e} for e in (1, 2)]
    curves_figure([*rows, *(row | modalities for row in adapt_rows(3))], tmp_path / "c.png")
    assert lines["mAP"] == pytest.approx([0, 10, 20])
    assert lines["total"] == [1.0, 1.0, 1.0]
    assert lines["mAP, source only"] == pytest.approx([10])
    for label, percent in (("RGB", 10), ("NIR", 20), ("thermal", 30), ("fused", 40)):
        assert lines[label] == pytest.approx([percent] * 3)


def test_null_figures_are_passed_over(tmp_path):
    curves_figure([*adapt_rows(2), {"epoch": 2, "phase": "adapt", "loss/total": None}], tmp_path / "c.png")
    assert (tmp_path / "c.png").exists()


def test_a_history_without_figures_is_refused(tmp_path):
    with pytest.raises(ValueError, match="none of the 1 rows"):
        curves_figure([{"epoch": 1, "phase": "adapt"}], tmp_path / "c.png")


def test_no_partial_file_is_left_behind(tmp_path):
    curves_figure(adapt_rows(2), tmp_path / "new folder" / "c.png")
    assert [path.name for path in (tmp_path / "new folder").iterdir()] == ["c.png"]
