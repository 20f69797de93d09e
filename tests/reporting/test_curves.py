"""What the curves say and how: structure, not looks. The looks are judged by eye."""

import math
import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from man_jax.reporting.curves import curves_figure, draw_curves
from man_jax.reporting.scales import LEAST_SPAN, percent_limits, whole_epochs

TITLE = "demo: rgbnt100 → wmveid863, seed 0"
WEIGHTS = {"domain_intra": 1.0, "domain_inter": 1.0, "modality": 0.8, "memory": 1.0}
TERMS = {
    "identity_source": 12.0,
    "triplet_source": 3.0,
    "identity_target": 10.0,
    "triplet_target": 1.2,
    "memory": 1.0,
    "domain_intra": 0.2,
    "domain_inter": 5.5,
    "modality": 11.0,
}
ACCURACIES = {"R": 0.41, "N": 0.34, "T": 0.22, "F": 0.47, "settled": 0.47, "reliable": 0.74}
RETRIEVAL, LABELS, LOSSES, PRETRAINING = range(4)


def adapt_row(epoch: int, *, terms=TERMS, **changes) -> dict:
    losses = {f"loss/{name}": value * (1 + 0.1 / epoch) for name, value in terms.items()}
    losses["loss/total"] = sum(WEIGHTS.get(key.removeprefix("loss/"), 1) * v for key, v in losses.items())
    labels = {f"labels/accuracy_{name}": value for name, value in ACCURACIES.items()}
    figures = {"eval/mAP": 0.6 + 0.001 * epoch, "eval/R1": 0.83, "labels/reliable": 0.28}
    return {"epoch": epoch, "phase": "adapt"} | losses | labels | figures | changes


def pretrain_row(epoch: int) -> dict:
    losses = {"loss/identity_source": 20 / epoch, "loss/triplet_source": 9 / epoch, "loss/total": 29 / epoch}
    return {"epoch": epoch, "phase": "pretrain"} | losses


def history(num_epochs: int, *, num_pretrain: int = 3, **changes) -> list[dict]:
    before = [pretrain_row(epoch) for epoch in range(1, num_pretrain + 1)]
    before[-1] |= {"eval/mAP": 0.56, "eval/R1": 0.81}
    return [*before, *(adapt_row(epoch, **changes) for epoch in range(1, num_epochs + 1))]


def drawn(rows, *, title=TITLE, weights=WEIGHTS) -> Figure:
    return draw_curves(rows, title=title, weights=weights)


def laid_out(figure: Figure) -> Figure:
    """With all its texts in their places, which they have once it is drawn."""
    FigureCanvasAgg(figure).draw()
    return figure


def panels_of(figure: Figure):
    return [place for place in figure.axes if place.axison]


def legend_of(place) -> dict[str, object]:
    handles, labels = place.get_legend_handles_labels()
    return dict(zip(labels, handles, strict=True))


def written(figure: Figure):
    """Every text that is shown, with its box in pixels."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = [figure._suptitle] if figure._suptitle else []
    for place in panels_of(figure):
        texts += [place.title, place._left_title, place.xaxis.label, place.yaxis.label, *place.texts]
        texts += place.get_legend().get_texts()
        for axis, (low, high) in ((place.xaxis, place.get_xlim()), (place.yaxis, place.get_ylim())):
            texts += [t.label1 for t in axis.get_major_ticks() if low <= t.get_loc() <= high]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in texts if text.get_text().strip()]


def single(rows):
    return [
        {k: v for k, v in row.items() if k not in ("labels/accuracy_N", "labels/accuracy_T")} for row in rows
    ]


US = {name: TERMS[name] for name in ("identity_target", "triplet_target", "memory", "modality")}
ORACLE = {f"labels/accuracy_{name}": 1.0 for name in ACCURACIES} | {"labels/reliable": 1.0}
HISTORIES = {
    "1 epoch": history(1),
    "2 epochs": history(2),
    "6 epochs": history(6, num_pretrain=24),
    "40 epochs": history(40, num_pretrain=120),
    "pre-training only": history(0, num_pretrain=24),
    "US": [{"epoch": 0, "phase": "pretrain", "eval/mAP": 0.5, "eval/R1": 0.6}, *history(6, terms=US)[3:]],
    "oracle": history(6, **ORACLE),
    "single modality": single(history(6)),
    "NaN and null": [
        *history(4),
        adapt_row(5, **{"loss/modality": None, "eval/R1": math.nan, "loss/total": None}),
    ],
    "baseline, weights of 0": history(6),
    "evaluated every fifth epoch": [
        {k: v for k, v in row.items() if not k.startswith("eval") or row["epoch"] % 5 == 0}
        for row in history(20)
    ],
    "perfect": history(3, **{"eval/mAP": 1.0, "eval/R1": 1.0}),
    "a negative term": history(3, **{"loss/domain_inter": -5.5}),
}


@pytest.fixture(scope="module", params=HISTORIES)
def figure(request) -> Figure:
    weights = dict.fromkeys(WEIGHTS, 0.0) if "weights of 0" in request.param else WEIGHTS
    return laid_out(drawn(HISTORIES[request.param], weights=weights))


def test_no_text_lies_upon_another_or_is_cut(figure):
    boxes = written(figure)
    width, height = figure.get_size_inches() * figure.dpi
    for i, (text, box) in enumerate(boxes):
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= width + 1, text
        assert box.y1 <= height + 1, text
        for other, its_box in boxes[i + 1 :]:
            across = min(box.x1, its_box.x1) - max(box.x0, its_box.x0)
            down = min(box.y1, its_box.y1) - max(box.y0, its_box.y0)
            assert min(across, down) < 2, f"{text!r} lies upon {other!r}"


def test_epochs_are_whole_numbers_and_no_axis_has_an_offset(figure):
    for place in panels_of(figure):
        names = [tick.get_text() for tick in place.get_xticklabels()]
        assert names
        assert all(re.fullmatch(r"\d+", name) for name in names)
        assert len(names) == len(set(names))
        for axis in (place.xaxis, place.yaxis):
            assert axis.get_offset_text().get_text() == ""


def test_the_title_names_the_run(figure):
    assert figure._suptitle.get_text().startswith(TITLE)


def test_percent_axes_lie_within_0_and_100_and_span_20_points(figure):
    percent = [place for place in panels_of(figure) if place.get_ylabel() == "%"]
    for place in percent:
        low, high = place.get_ylim()
        assert 0 <= low < high <= 100
        assert high - low >= LEAST_SPAN
        for line in place.get_lines():
            values = np.asarray(line.get_ydata(), float)
            assert (np.isnan(values) | ((values >= low) & (values <= high))).all()


def test_losses_begin_at_0_or_below(figure):
    losses = [place for place in panels_of(figure) if "losses" in place.get_title(loc="left")]
    assert losses
    for place in losses:
        assert place.get_ylim()[0] <= 0
        assert place.containers, "no bars"


def test_lines_that_coincide_are_said_to_coincide():
    labels = legend_of(panels_of(drawn(history(3)))[LABELS])
    assert "fused = all, after CPA" in labels
    assert len(labels) == len(ACCURACIES) - 1 + 1  # two are one; the share of reliable ones besides
    (text,) = legend_of(panels_of(drawn(history(3, **ORACLE)))[LABELS])
    assert text.replace("\n", " ").startswith("RGB = NIR = thermal = fused = all, after CPA = reliable")


def test_lines_that_coincide_in_part_are_both_seen():
    rows = history(6)
    rows[-1] |= {"labels/accuracy_settled": 0.55}
    labels = legend_of(panels_of(drawn(rows))[LABELS])
    below, above = labels["fused"], labels["all, after CPA"]
    assert below.get_linewidth() > above.get_linewidth() + 2
    assert below.get_zorder() < above.get_zorder()
    assert below.get_linestyle() != above.get_linestyle()


def test_lines_apart_are_thin():
    lines = legend_of(panels_of(drawn(history(6)))[LABELS]).values()
    assert len({line.get_linewidth() for line in lines}) == 1


def test_a_modality_looks_the_same_whatever_others_there_are():
    looks = []
    for rows in (history(3), single(history(3))):
        line = legend_of(panels_of(drawn(rows))[LABELS])["reliable, after CPA (Eq. 6)"]
        looks.append((line.get_color(), line.get_linestyle(), line.get_marker()))
    assert looks[0] == looks[1]


def test_the_level_before_adaptation_is_the_last_one_of_the_pre_training():
    lines = legend_of(panels_of(drawn(history(3)))[RETRIEVAL])
    assert list(lines) == [
        "mAP, last: 60.3 %",
        "R1, last: 83.0 %",
        "mAP, source only: 56.0 %",
        "R1, source only: 81.0 %",
    ]
    assert list(lines["mAP, source only: 56.0 %"].get_ydata()) == pytest.approx([56, 56])
    assert list(lines["mAP, last: 60.3 %"].get_ydata()) == pytest.approx([60.1, 60.2, 60.3])


def test_below_the_title_are_the_last_figures():
    lines = drawn(history(2))._suptitle.get_text().splitlines()
    assert (
        lines[1]
        == "after epoch 2 of the adaptation: mAP 60.2 %, R1 83.0 % (source only: mAP 56.0 %, R1 81.0 %)"
    )
    assert drawn(history(0))._suptitle.get_text().splitlines()[1] == "source only: mAP 56.0 %, R1 81.0 %"


def test_the_bars_are_the_weighted_terms_and_reach_the_total():
    place = panels_of(drawn(history(3)))[LOSSES]
    heights = np.array([[bar.get_height() for bar in term] for term in place.containers])
    row = history(3)[-1]
    assert heights[:, -1] == pytest.approx([WEIGHTS.get(name, 1) * row[f"loss/{name}"] for name in TERMS])
    (total,) = place.get_lines()
    assert heights.sum(axis=0) == pytest.approx(np.asarray(total.get_ydata()))
    tops = [bar.get_y() + bar.get_height() for bar in place.containers[-1]]
    assert tops == pytest.approx(list(total.get_ydata()))


def test_the_legend_has_equations_weights_and_shares():
    labels = list(legend_of(panels_of(drawn([adapt_row(1)]))[LOSSES]))
    assert labels[0].startswith("total (Eq. 23): ")
    for begin in ("identity, source (Eq. 22): ", "PDA, intra (Eq. 14): ", "PDA, inter (Eq. 15): "):
        assert any(label.startswith(begin) for label in labels)
    assert "MMA (Eq. 20) × 0.8: 9.68, 21 %" in labels
    shares = [int(label.split(", ")[-1].removesuffix(" %")) for label in labels[1:]]
    assert sum(shares) == pytest.approx(100, abs=3)


def test_the_pre_training_s_total_is_another_equation():
    assert "total (Eq. 21): 9.67" in legend_of(panels_of(drawn(history(2)))[PRETRAINING])


def test_the_factors_of_a_method_do_not_change_the_pre_training_s_terms_of_the_same_name():
    place = panels_of(drawn(history(2), weights={"identity_source": 0.15}))[PRETRAINING]
    assert legend_of(place).keys() >= {"total (Eq. 21): 9.67", "identity, source (Eq. 22): 6.67, 69 %"}


def test_negative_terms_go_down_from_0():
    place = panels_of(drawn(history(2, **{"loss/domain_inter": -5.5})))[LOSSES]
    bars = [bar for term in place.containers for bar in term if bar.get_height() < 0]
    assert [(bar.get_y(), bar.get_height()) for bar in bars] == [(0, -5.5)] * 2
    assert place.get_ylim()[0] < -5.5


def test_a_last_figure_that_is_not_finite_is_said_in_the_legend():
    rows = [adapt_row(1), adapt_row(2, **{"loss/total": None, "loss/modality": None, "eval/mAP": None})]
    figure = drawn(rows)
    labels = legend_of(panels_of(figure)[LOSSES])
    assert {"total (Eq. 23): not finite at last", "MMA (Eq. 20) × 0.8: not finite at last"} <= labels.keys()
    assert "mAP not finite, R1 83.0 %" in figure._suptitle.get_text()


def test_a_term_of_an_unknown_name_is_drawn_too():
    place = panels_of(drawn(history(2, **{"loss/new_term": 2.0})))[LOSSES]
    assert any(label.startswith("new term: 2, ") for label in legend_of(place))


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_is_not_finite_is_a_gap_and_is_said(value):
    rows = history(5)
    rows[5] |= {"eval/mAP": value, "loss/modality": value}  # of epoch 3
    figure = drawn(rows)
    retrieval, losses = panels_of(figure)[RETRIEVAL], panels_of(figure)[LOSSES]
    assert np.isnan(retrieval.get_lines()[0].get_ydata()).tolist() == [False, False, True, False, False]
    for place in (retrieval, losses):
        assert [text.get_text() for text in place.texts] == ["not finite: epoch 3"]


def test_epochs_that_were_not_evaluated_are_no_gap():
    retrieval = panels_of(drawn(HISTORIES["evaluated every fifth epoch"]))[RETRIEVAL]
    assert list(retrieval.get_lines()[0].get_xdata()) == [5, 10, 15, 20]
    assert list(retrieval.texts) == []


def test_of_several_rows_of_an_epoch_the_last_counts():
    rows = [*history(2), adapt_row(2, **{"eval/mAP": 0.9})]
    assert panels_of(drawn(rows))[RETRIEVAL].get_lines()[0].get_ydata()[-1] == pytest.approx(90)


def test_panels_without_figures_are_left_out():
    assert len(panels_of(drawn([{"epoch": 1, "phase": "adapt", "loss/total": 1.0}, {"phase": "adapt"}]))) == 1


def test_a_history_without_figures_is_refused():
    with pytest.raises(ValueError, match="none of the 1 rows"):
        draw_curves([{"epoch": 1, "phase": "adapt"}])


@pytest.mark.parametrize(
    "name", ["车辆实验", "cost $x$ of $y$", "a\nb", "gone \udc80", "x" * 300, "long " * 60]
)
def test_any_name_can_be_a_title(name):
    figure = laid_out(drawn(history(2), title=name))
    width = figure.get_size_inches()[0] * figure.dpi
    assert all(box.x1 <= width for _, box in written(figure))


@pytest.mark.parametrize(
    ("values", "limits"),
    [
        ([50.0], (40, 60)),
        ([0.0], (0, 20)),
        ([100.0], (80, 100)),
        ([56.1, 60.4], (45, 65)),
        ([10.0, 90.0], (5, 95)),
    ],
)
def test_a_small_change_looks_small(values, limits):
    low, high = percent_limits(values)
    assert high - low >= 20
    assert low <= min(values) <= max(values) <= high
    assert (low, high) == pytest.approx(limits, abs=5)


@pytest.mark.parametrize(("first", "last"), [(1, 1), (1, 2), (1, 6), (1, 40), (1, 120), (0, 0), (3, 1000)])
def test_few_whole_epochs_are_named(first, last):
    epochs = whole_epochs(first, last)
    assert 1 <= len(epochs) <= 10
    assert all(isinstance(epoch, int) and first <= epoch <= last for epoch in epochs)


def test_the_picture_is_written_whole(tmp_path):
    curves_figure(history(2), tmp_path / "new folder" / "c.png", title=TITLE, weights=WEIGHTS)
    assert [path.name for path in (tmp_path / "new folder").iterdir()] == ["c.png"]
    with Image.open(tmp_path / "new folder" / "c.png") as image:
        assert image.size == pytest.approx((1200, 936), abs=2)


def test_a_run_from_adapted_weights_has_its_level_at_the_start_and_none_of_the_source_only():
    start = {"epoch": 0, "phase": "start", "eval/mAP": 0.61, "eval/R1": 0.83}
    figure = laid_out(drawn([start, *(adapt_row(epoch) for epoch in (1, 2))]))
    heading = figure.get_suptitle()
    texts = [text.get_text() for panel in panels_of(figure) for text in panel.get_legend().get_texts()]
    assert "(at the start: mAP 61.0 %, R1 83.0 %)" in heading.replace("\n", " ")
    assert {"mAP, at the start: 61.0 %", "R1, at the start: 83.0 %"} <= set(texts)
    assert not any("source only" in text for text in [heading, *texts])


@pytest.mark.parametrize(("phase", "name"), [("start", "at the start"), ("pretrain", "source only")])
def test_a_run_that_trains_nothing_has_its_figures_drawn(phase, name):
    figure = laid_out(drawn([{"epoch": 0, "phase": phase, "eval/mAP": 0.61, "eval/R1": 0.83}]))
    assert f"{name}: mAP 61.0 %, R1 83.0 %" in figure.get_suptitle()
    (panel,) = panels_of(figure)
    assert list(legend_of(panel)) == ["mAP, last: 61.0 %", "R1, last: 83.0 %"]
