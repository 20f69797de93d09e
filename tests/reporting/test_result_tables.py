import re
from pathlib import Path

import pytest

from man_jax.reporting.result_tables import (
    cameras_table,
    intervals_table,
    results_table,
    rows_table,
    seeds_table,
)

SOURCE = {"mAP": 0.3, "R1": 0.4, "R5": 0.5, "R10": 0.612, "mINP": 0.1}


def seed(number, source=0.3, adapted=0.4, oracle=0.7):
    """Of each R1 is mAP and a tenth, of the oracle two."""
    rows = {"source_only": (source, 0.1), "adapted": (adapted, 0.1), "oracle": (oracle, 0.2)}
    return {"seed": number} | {
        name: {"mAP": value, "R1": value + more} for name, (value, more) in rows.items()
    }


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_run_is_an_aligned_table_in_percent():
    assert results_table({"source_only": SOURCE, "adapted": {"mAP": 1.0}}).splitlines() == [
        "               mAP    R1    R5   R10  mINP",
        "-" * 42,
        "source_only   30.0  40.0  50.0  61.2  10.0",
        "adapted      100.0     –     –     –     –",
        "All figures in %.",
    ]


def test_best_on_test_is_marked_as_chosen_on_test_data():
    lines = results_table({"best_on_test": SOURCE}).splitlines()
    assert (lines[2][:14], lines[-1][:27]) == ("best_on_test *", "* epoch chosen on test data")


def test_a_seed_shows_its_figures_and_the_gap_closed():
    row = cells(seeds_table([seed(7)]).splitlines()[2])
    assert row == ["7", "30.0", "40.0", "40.0", "50.0", "70.0", "90.0", "25.0", "20.0"]


def test_the_last_row_holds_mean_sample_deviation_and_the_gap_of_the_means():
    last = cells(seeds_table([seed(0, 0.2, 0.3, 0.5), seed(1, 0.4, 0.5, 0.9)]).splitlines()[-1])
    assert last[1::2] == ["30.0 ± 14.1", "40.0 ± 14.1", "70.0 ± 28.3", "25.0"]
    assert last[2::2] == ["40.0 ± 14.1", "50.0 ± 14.1", "90.0 ± 28.3", "20.0"]


def test_every_row_has_as_many_cells_as_the_head():
    lines = seeds_table([seed(n) for n in range(5)]).splitlines()
    assert {line.count("|") for line in lines} == {10}


def test_an_oracle_no_better_than_source_only_leaves_the_gap_open():
    lower_and_equal = seed(0, oracle=0.2)
    assert cells(seeds_table([lower_and_equal]).splitlines()[2])[-2:] == ["–", "–"]


def test_a_missing_oracle_shows_dashes_in_its_row_and_in_the_mean():
    lines = seeds_table(
        [seed(0), {key: value for key, value in seed(1).items() if key != "oracle"}]
    ).splitlines()
    assert [cells(line)[5] for line in lines[3:]] == ["–", "–"]


GAPS = slice(7, 9)


def test_a_gap_within_the_spread_of_the_seeds_is_no_share():
    # oracle - source_only: 0.02, 0.06, 0.10, whose deviation is 0.04
    lines = seeds_table(
        [seed(0, 0.30, 0.33, 0.32), seed(1, 0.30, 0.33, 0.36), seed(2, 0.30, 0.33, 0.40)]
    ).splitlines()
    assert [cells(line)[7] for line in lines[2:6]] == ["within noise", "within noise", "30.0", "within noise"]
    assert lines[6:] == [
        "",
        "within noise: oracle − source_only is at most 8.0 of mAP and 8.0 of R1, twice its deviation over the seeds or "
        "twice what one query is worth, so no share of it is given.",
    ]


@pytest.mark.parametrize(("queries", "shown"), [(24, "within noise"), (51, "50.0"), (None, "50.0")])
def test_a_gap_of_no_more_than_two_queries_is_no_share(queries, shown):
    one = seed(0, 0.30, 0.32, 0.34) | ({"valid_queries": queries} if queries else {})
    assert cells(seeds_table([one]).splitlines()[2])[7] == shown


def test_a_clear_gap_is_a_share_as_ever_and_the_table_ends_with_its_means():
    lines = seeds_table(
        [seed(0) | {"valid_queries": 120}, seed(1, 0.31) | {"valid_queries": 120}]
    ).splitlines()
    assert cells(lines[2])[GAPS] == ["25.0", "20.0"]
    assert lines[-1].startswith("| **mean ± std** |")


def test_the_demonstration_s_shares_are_those_of_its_published_table():
    text = (Path(__file__).parents[2] / "docs/results/demo_seeds.md").read_text(encoding="utf-8")
    rows = [cells(line) for line in text.splitlines() if re.match(r"\| \d \|", line)]
    results = [
        {"seed": int(row[0]), "valid_queries": 120}
        | {
            name: {"mAP": float(row[place]) / 100, "R1": float(row[place + 1]) / 100}
            for place, name in ((1, "source_only"), (3, "adapted"), (5, "oracle"))
        }
        for row in rows
    ]
    lines = [cells(line) for line in seeds_table(results).splitlines()]
    assert len(rows) == 5
    assert len(lines) == 2 + 5 + 1  # no note
    for row, line in zip(rows, lines[2:], strict=False):
        assert line[:7] == row[:7]
        # The published figures are rounded, and shares of them too.
        assert [float(share) for share in line[GAPS]] == pytest.approx(
            [float(share) for share in row[GAPS]], abs=0.6
        )


@pytest.mark.parametrize("results", [[], [seed(1), seed(1)]])
def test_no_result_or_a_repeated_seed_is_refused(results):
    with pytest.raises(ValueError, match="each seed once"):
        seeds_table(results)


def test_a_difference_that_rounds_to_zero_has_no_sign():
    results = [seed(0) | {"rows": {"no_mma": {"mAP": 0.3998, "R1": 0.5002}}}]
    assert cells(rows_table(results).splitlines()[3])[2::2] == ["0.0", "0.0"]


def test_rows_are_compared_with_the_method_seed_by_seed():
    results = [
        seed(0, adapted=0.50) | {"rows": {"no_cpa": {"mAP": 0.40, "R1": 0.60}}},
        seed(1, adapted=0.70) | {"rows": {"no_cpa": {"mAP": 0.62, "R1": 0.80}}},
    ]
    lines = [cells(line) for line in rows_table(results).splitlines()]
    assert lines[2] == ["the method", "60.0 ± 14.1", "–", "70.0 ± 14.1", "–"]
    assert lines[3] == ["`no_cpa`", "51.0 ± 15.6", "-9.0 ± 1.4", "70.0 ± 14.1", "0.0 ± 0.0"]


def test_intervals_are_written_as_the_median_and_both_ends_in_percent():
    rows = {
        "R+N": {"mAP": (0.5, 0.4, 0.625), "R1": (1.0, 0.9, 1.0)},
        "R": {"mAP": (0, 0, 0), "R1": (0, 0, 0)},
    }
    assert intervals_table(rows).splitlines() == [
        "                   mAP                   R1",
        "-------------------------------------------",
        "R+N  50.0 [40.0, 62.5]  100.0 [90.0, 100.0]",
        "R       0.0 [0.0, 0.0]       0.0 [0.0, 0.0]",
    ]


def test_a_pair_of_cameras_without_a_match_and_a_camera_without_figures_show_as_dashes():
    text = cameras_table([1, 4], [2], [[0.25], [float("nan")]], {1: {"mAP": 0.5, "R1": 1.0}, 4: None})
    lines = [line.split() for line in text.splitlines()]
    assert lines[0] == ["queries", "of", "camera", "2", "all:", "mAP", "R1"]
    assert lines[2] == ["camera", "1", "25.0", "50.0", "100.0"]
    assert lines[3] == ["camera", "4", "–", "–", "–"]
