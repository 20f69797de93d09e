"""What a ranking picture says and how: structure, not looks. The looks are judged by eye."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from man_jax.reporting.ranking_lists import (
    DISTANCE,
    EXPLANATION,
    RIGHT,
    WRONG,
    RankingList,
    draw_ranking_lists,
    ranking_figure,
)

TITLE = "demo: rgbnt100 → wmveid863, seed 0, last epoch"


def new_list(
    correct, *, modalities="RNT", size=(8, 4), heading="best 1 of 9: AP 50.0 %, a.jpg", lines=("pid 1",)
):
    shape = (len(modalities), *size, 3)
    matches = np.full((len(correct), *shape), 90, np.uint8)
    below = [[*lines, "cam 3", f"0.{rank:03d}"] for rank in range(len(correct))]
    return RankingList(heading, np.full(shape, 40, np.uint8), [*lines, "cam 0"], matches, below, correct)


def drawn(lists, *, modalities="RNT", title=TITLE) -> Figure:
    figure = draw_ranking_lists(lists, modalities=modalities, title=title)
    FigureCanvasAgg(figure).draw()
    return figure


def strips_of(figure: Figure) -> list[tuple[str, str]]:
    """(what is above, what is below) of each triple, queries among them."""
    return [(place.get_title(), place.get_xlabel()) for place in figure.axes]


CASES = {
    "six of ten": ([new_list([True, False] * 5) for _ in range(6)], "RNT"),
    "one modality": ([new_list([True, False] * 5, modalities="N") for _ in range(6)], "N"),
    "two modalities, wide": ([new_list([False] * 3, modalities="RT", size=(4, 8)) for _ in range(2)], "RT"),
    "one match": ([new_list([True])], "RNT"),
    "none left": ([new_list([]), new_list([True])], "RNT"),
    "people": ([new_list([True] * 10, size=(256, 128)) for _ in range(6)], "RNT"),
    "many digits": (
        [new_list([True] * 10, size=(16, 8), lines=("pid 9000…0001", "scene 123456789"))] * 3,
        "RNT",
    ),
    "long names": ([new_list([True], heading="worst 1 of 9: AP 0.1 %, " + "W" * 40 + ".jpg")] * 2, "RNT"),
    "other scripts": (
        [new_list([True] * 3, heading="drawn by seed: 车辆.jpg $x$", lines=("pid 车",))],
        "RNT",
    ),
}


@pytest.fixture(scope="module", params=CASES)
def figure(request) -> Figure:
    lists, modalities = CASES[request.param]
    return drawn(lists, modalities=modalities)


def test_no_text_lies_upon_another_or_is_cut(figure):
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = list(figure.texts)
    for place in figure.axes:
        texts += [place.title, place.xaxis.label, *place.get_yticklabels(), *place.texts]
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts if text.get_text()]
    width, height = figure.get_size_inches() * figure.dpi
    for i, (text, box) in enumerate(boxes):
        assert min(box.x0, box.y0) >= 0, text
        assert box.x1 <= width, text
        assert box.y1 <= height, text
        for other, its_box in boxes[i + 1 :]:
            across = min(box.x1, its_box.x1) - max(box.x0, its_box.x0)
            down = min(box.y1, its_box.y1) - max(box.y0, its_box.y0)
            assert min(across, down) < 2, f"{text!r} lies upon {other!r}"


def test_no_triple_lies_upon_another_and_none_is_distorted(figure):
    boxes = [place.get_window_extent() for place in figure.axes]
    for i, (box, place) in enumerate(zip(boxes, figure.axes, strict=True)):
        rows, columns = place.get_images()[0].get_size()
        assert box.height / box.width == pytest.approx(rows / columns, rel=0.02)
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])


def test_the_title_names_the_run_and_explains_the_marks(figure):
    title, explanation = (text.get_text().replace("\n", " ") for text in figure.texts[:2])
    assert title == TITLE
    assert explanation == EXPLANATION


def test_right_and_wrong_differ_by_sign_by_line_and_by_colour():
    _, right, wrong = drawn([new_list([True, False])]).axes
    assert (right.get_title(), wrong.get_title()) == ("1 ✓", "2 ✗")
    for place, colour, dashed in ((right, RIGHT, False), (wrong, WRONG, True)):
        for spine in place.spines.values():
            assert to_hex(spine.get_edgecolor()) == colour
            assert (spine.get_linestyle() not in ("-", "solid")) == dashed
            assert not dashed or spine.get_capstyle() == "butt"


def test_a_match_of_which_nobody_knows_whether_it_is_right_has_no_mark():
    figure = drawn([new_list([True, None])])
    _, right, unknown = figure.axes
    assert (right.get_title(), unknown.get_title()) == ("1 ✓", "2")
    assert {to_hex(spine.get_edgecolor()) for spine in unknown.spines.values()}.isdisjoint({RIGHT, WRONG})


def test_marks_are_explained_only_where_there_are_some():
    explained = [
        drawn([new_list(correct)]).texts[1].get_text().replace("\n", " ") for correct in ([True], [None], [])
    ]
    assert explained == [EXPLANATION, DISTANCE, EXPLANATION]


def test_each_match_has_its_lines_below_and_the_query_its_own():
    assert strips_of(drawn([new_list([True, False])])) == [
        ("query", "pid 1\ncam 0"),
        ("1 ✓", "pid 1\ncam 3\n0.000"),
        ("2 ✗", "pid 1\ncam 3\n0.001"),
    ]


def test_each_query_has_its_heading_its_matches_and_its_images():
    first, second = new_list([True, True]), new_list([False], heading="worst 1 of 9: AP 2.0 %, b.jpg")
    figure = drawn([first, second._replace(query=second.query + 1)])
    assert [text.get_text() for text in figure.texts[2:]] == [first.heading, second.heading]
    assert [above for above, _ in strips_of(figure)] == ["query", "1 ✓", "2 ✓", "query", "1 ✗"]
    shown = [int(place.get_images()[0].get_array().max()) for place in figure.axes]
    assert shown == [40, 90, 90, 41, 90]


def test_a_query_without_a_gallery_triple_says_so():
    figure = drawn([new_list([])])
    assert figure.texts[-1].get_text() == "no gallery triple is left"
    assert len(figure.axes) == 1


@pytest.mark.parametrize("modalities", ["RNT", "RT", "N"])
def test_the_modalities_are_named_beside_the_query(modalities):
    query = drawn([new_list([True], modalities=modalities)], modalities=modalities).axes[0]
    assert [label.get_text() for label in query.get_yticklabels()] == list(modalities)


def test_lists_that_disagree_are_refused():
    with pytest.raises(ValueError, match=r"list 1: query .* must agree"):
        draw_ranking_lists(
            [new_list([True]), new_list([True])._replace(correct=[True, False])], modalities="RNT"
        )
    with pytest.raises(ValueError, match="with 2 modalities"):
        draw_ranking_lists([new_list([True])], modalities="RT")
    with pytest.raises(ValueError, match="at least one query"):
        draw_ranking_lists([], modalities="RNT")


def test_the_picture_is_written_whole(tmp_path):
    ranking_figure([new_list([True])], tmp_path / "new folder" / "r.png", modalities="RNT")
    assert [path.name for path in (tmp_path / "new folder").iterdir()] == ["r.png"]
    with Image.open(tmp_path / "new folder" / "r.png") as image:
        assert image.size[0] == pytest.approx(3.7 * 120, abs=2)
