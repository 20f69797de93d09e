"""A table of the paper: ours with its deviation, theirs labelled as published, and what is not run with the reason."""

import csv

import pytest

from man_jax.reporting.paper_table import Line, paper_csv, paper_table

LINES = [
    Line("MAN", "", {"mAP": [0.5, 0.6], "R1": [0.75, 0.75]}, {"mAP": 53.91, "R1": 59.16}),
    Line("LRIMV", "", {}, {"mAP": 39.23}, "one camera only"),
    Line("ours", "RN", {"mAP": [0.25]}, {}),
]
COSTLY = Line(
    "IDM",
    "",
    {"mAP": [0.4], "epoch": [3.21, 3.25, 9.0], "memory": [812.4]},
    {"mAP": 39.2, "epoch": 242, "memory": 10870},
)


def table(lines, published_of="rgbnt100_to_wmveid863") -> list[str]:
    return paper_table(lines, columns=("mAP", "R1"), published_of=published_of, title="table2").splitlines()


def test_our_figures_are_in_percent_with_their_deviation_and_the_published_ones_in_italics():
    lines = table(LINES)
    assert lines[0] == "**table2**"
    assert lines[2] == "|  | mAP | R1 | *mAP, published* | *R1, published* |"
    assert lines[4] == "| MAN | 55.0 ± 7.1 | 75.0 ± 0.0 | *53.91* | *59.16* |"
    assert lines[5] == "| LRIMV | – | – | *39.23* | – |"
    assert lines[6] == "| ours; RN at test | 25.0 | – | – | – |"


def test_the_notes_say_what_is_published_and_what_is_not_run():
    notes = table(LINES)[8:]
    assert notes == [
        "In %, mean ± sample standard deviation over 2 seeds.",
        "*Published* figures are the paper's, of rgbnt100_to_wmveid863; we have not run that transfer.",
        "Not run: LRIMV: one camera only",
    ]


def test_without_published_figures_there_is_no_column_of_them():
    lines = table(LINES[2:], published_of="")
    assert lines[2] == "|  | mAP | R1 |"
    assert lines[-1] == "In %, one run a row."


def test_time_and_memory_stand_between_ours_and_theirs():
    lines = table([COSTLY])
    assert lines[2] == (
        "|  | mAP | R1 | s / epoch | step, MiB | *mAP, published* | *s / epoch, published* | *MB, published* |"
    )
    assert lines[4] == "| IDM | 40.0 | – | 3.25 | 812 | *39.2* | *242* | *10870* |"


def test_the_csv_has_a_line_for_each_figure():
    rows = list(
        csv.DictReader(paper_csv([*LINES, COSTLY], columns=("mAP", "R1"), published_of="x").splitlines())
    )
    by_name = {(row["row"], row["figure"]): row for row in rows}
    assert by_name["MAN", "mAP"] == {
        "row": "MAN",
        "modalities": "",
        "figure": "mAP",
        "mean": "55.00",
        "deviation": "7.07",
        "runs": "2",
        "published": "53.91",
        "published_of": "x",
        "not_run": "",
    }
    assert by_name["LRIMV", "mAP"]["not_run"] == "one camera only"
    assert by_name["LRIMV", "R1"]["published_of"] == ""
    assert float(by_name["IDM", "epoch"]["mean"]) == pytest.approx(15.46 / 3, abs=0.01)
    assert ("MAN", "epoch") not in by_name
