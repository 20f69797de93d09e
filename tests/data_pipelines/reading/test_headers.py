"""Headers of tables that can be read in two ways, in CSV and in Parquet."""

from itertools import product

import pytest

from data_pipelines.reading import datasets
from data_pipelines.reading.records import DataError
from tests.data_pipelines.manifests import (
    HEADER,
    ROWS,
    renamed,
    with_column,
    write_csv,
    write_parquet,
)

both_kinds = pytest.mark.parametrize("write", [write_csv, write_parquet])


def refusal(path) -> str:
    with pytest.raises(DataError) as error:
        datasets.read("manifest", path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


@both_kinds
@pytest.mark.parametrize("name", ["pid", "camid", "split", "R"])
def test_a_header_that_names_a_column_twice_is_refused(tmp_path, write, name):
    said = refusal(write(tmp_path, *with_column(name, "1")))
    assert f"the header has {name} 2 times (column {HEADER.index(name) + 1} is '{name}' and column 7" in said


@both_kinds
@pytest.mark.parametrize("name", ["PID", "Pid", " pid", "pid ", "p id", "\ufeffpid", "pid\u200b", "ｐｉｄ"])
def test_a_second_column_that_differs_in_capitals_or_white_space_only_is_refused(tmp_path, write, name):
    assert "the header has pid 2 times" in refusal(write(tmp_path, *with_column(name, "1")))


@both_kinds
@pytest.mark.parametrize(
    ("column", "name"),
    [*product(["pid"], ["PID", "Pid"]), ("split", "Split"), ("camid", "CamId"), ("R", "r")],
)
def test_a_column_that_is_a_near_miss_is_named_with_the_name_to_write(tmp_path, write, column, name):
    said = refusal(write(tmp_path, renamed(column, name)))
    assert f"column {HEADER.index(column) + 1} is {name!r}" in said
    assert f"write '{column}'" in said


@both_kinds
def test_a_near_miss_of_an_optional_column_is_no_silent_change_of_the_rule(tmp_path, write):
    said = refusal(write(tmp_path, *with_column("Scene", "3")))
    assert "column 7 is 'Scene'" in said


@both_kinds
@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("pid", "identity"),
        ("pid", "person_id"),
        ("pid", "p.id"),
        ("camid", "camera_id"),
        ("camid", "cam id "),
        ("camid", "camids"),
        ("split", "subset"),
    ],
)
def test_a_required_column_of_another_name_is_suggested(tmp_path, write, column, name):
    said = refusal(write(tmp_path, renamed(column, name)))
    assert f"column {column}; there are" in said or "looks like it" in said
    assert name.strip() in said
    assert column in said


@both_kinds
def test_a_modality_of_another_name_is_suggested_with_the_columns_that_are_not_read(tmp_path, write):
    dataset = datasets.read("manifest", write(tmp_path, renamed("N", "NIR")))
    assert dataset.modalities == ("R", "T")
    assert dataset.warnings == (
        "manifest: columns that are not read: NIR (did you mean 'NIR' to be N? Rename it then)",
    )


@both_kinds
def test_columns_that_are_not_read_may_be_there_twice_or_without_a_name(tmp_path, write):
    header = (*HEADER, "note", "note", "")
    path = write(tmp_path, header, [(*row, "a", "b", "0") for row in ROWS])
    (warning,) = datasets.read("manifest", path).warnings
    assert warning == "manifest: columns that are not read: note, note"


@both_kinds
def test_white_space_around_the_only_name_does_no_harm(tmp_path, write):
    dataset = datasets.read("manifest", write(tmp_path, [f" {name} " for name in HEADER]))
    assert [record.pid for record in dataset.splits["train"]] == [7, 8]


def test_a_space_after_each_comma_does_no_harm(tmp_path):
    rows = [(*row[:3], f'"{row[3]}"', *row[4:]) for row in ROWS]
    dataset = datasets.read("manifest", write_csv(tmp_path, rows=rows, delimiter=", "))
    assert [record.pid for record in dataset.splits["train"]] == [7, 8]


@pytest.mark.parametrize(("delimiter", "what"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
@pytest.mark.parametrize("comma_in_a_cell", [False, True])
def test_another_delimiter_is_named(tmp_path, delimiter, what, comma_in_a_cell):
    rows = [(*row[:5], "1,0") for row in ROWS] if comma_in_a_cell else ROWS
    said = refusal(write_csv(tmp_path, rows=rows, delimiter=delimiter))
    assert f"its columns are separated by {what}" in said
    assert "save it with commas" in said


def test_the_line_that_tells_excel_the_delimiter_is_named(tmp_path):
    path = write_csv(tmp_path)
    path.write_text("sep=,\n" + path.read_text())
    assert "begins with the line 'sep='" in refusal(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_is_named(tmp_path, encoding):
    said = refusal(write_csv(tmp_path, encoding=encoding))
    assert "UTF-16" in said or "UTF-32" in said
    assert "save it as CSV in UTF-8" in said


def test_bytes_of_another_encoding_are_named_with_their_row(tmp_path):
    rows = [*ROWS[:3], ("gallery", "r/größe.jpg", *ROWS[3][2:])]
    assert "row 5: is not UTF-8" in refusal(write_csv(tmp_path, rows=rows, encoding="latin-1"))


@both_kinds
@pytest.mark.parametrize("header", [HEADER, [name.upper() for name in HEADER], HEADER[::-1]])
def test_a_header_in_the_middle_is_named_with_its_row(tmp_path, write, header):
    said = refusal(write(tmp_path, rows=[*ROWS[:2], tuple(header), *ROWS[2:]]))
    assert f"row {4 if write is write_csv else 3}: is a header again" in said


@both_kinds
def test_rows_of_empty_cells_are_passed_over(tmp_path, write):
    rows = [ROWS[0], ("",) * 6, *ROWS[1:], (" ",) * 6]
    assert len(datasets.read("manifest", write(tmp_path, rows=rows)).splits["train"]) == 2


def test_a_quoted_line_end_leaves_the_rows_their_numbers(tmp_path):
    header, rows = with_column("note", '"two\nlines"')
    rows[2] = (*rows[2][:4], "truck", *rows[2][5:])
    assert "row 6: pid is 'truck'" in refusal(write_csv(tmp_path, header, rows))


def test_a_quotation_mark_that_is_left_open_is_named_with_its_row(tmp_path):
    rows = [ROWS[0], (ROWS[1][0], '"r/2.jpg', *ROWS[1][2:]), *ROWS[2:]]
    said = refusal(write_csv(tmp_path, rows=rows))
    assert "row 3: cannot be read" in said
    assert "quotation mark left open" in said


def test_a_folder_named_like_a_column_adds_none_to_a_parquet_table(tmp_path):
    base = tmp_path / "split=train"
    base.mkdir()
    dataset = datasets.read("manifest", write_parquet(base))
    assert [len(dataset.splits[split]) for split in ("train", "query", "gallery")] == [2, 1, 1]


@pytest.mark.parametrize("title", ["My data set", "# exported, by me", "Tabelle1,,,,,"])
def test_a_title_above_the_header_is_shown_in_place_of_the_columns(tmp_path, title):
    path = write_csv(tmp_path)
    path.write_text(title + "\n" + path.read_text())
    said = refusal(path)
    assert f"no column split, pid, camid; there are {title.split(',')[0]}" in said
