"""The pictures that a table of the paper has: one of all rows, and one of each row where the table names them."""

import numpy as np
import pytest
from man_jax.configs.tables import TABLES, Table
from PIL import Image

from man_jax.reporting.paper_table import Line
from man_jax.runs.past_config import run_config
from man_jax.sharding import make_mesh
from man_jax.studies.planned_runs import PlannedRun
from man_jax.studies.table_pictures import draw_lines, write_pictures
from tests.test_report import base

__all__ = ["base"]

LINES = [
    Line("MAN", "", {"mAP": [0.4, 0.6]}, {"mAP": 53.91}),
    Line("gone", "", {}, {}, "no camera"),
    Line("MAN", "RN", {"mAP": [0.3]}, {}),
]


def test_a_bar_is_the_mean_of_a_line_and_a_diamond_the_published_figure():
    [place] = draw_lines(LINES, "rgbnt100_to_wmveid863").axes
    assert [bar.get_width() for bar in place.patches] == pytest.approx([50, 30])
    assert [text.get_text() for text in place.get_yticklabels()] == ["MAN", "MAN; RN"]
    drawn = [line.get_xdata() for line in place.get_lines()]
    np.testing.assert_allclose(np.concatenate([np.ravel(each) for each in drawn]), [40, 60, 53.91, 30])
    assert "published, rgbnt100_to_wmveid863" in place.get_title(loc="left")


def size_of(path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


@pytest.fixture(scope="module")
def runs(base):
    """A run with adaptation for the row MAN, and none for the others."""
    workdir = base / "run"
    Image.fromarray(np.full((5, 7, 3), 9, np.uint8)).save(workdir / "ranking.png")
    return {(seed, "MAN"): PlannedRun(run_config(workdir), workdir) for seed in (4, 3)}


@pytest.mark.parametrize("name", [name for name, table in TABLES.items() if table.pictures])
def test_each_figure_of_the_paper_is_drawn_of_the_first_seed(runs, tmp_path, name):
    written = write_pictures(TABLES[name], name, runs, LINES, tmp_path, published_of="", mesh=make_mesh())
    assert [path.name for path in written] == [f"{name}.png", f"{name}_paper.png"]
    sizes = [size_of(path) for path in written]
    assert (sizes[1] == (7, 5)) == (TABLES[name].pictures == "rankings")
    assert min(sizes[0]) > 100


def test_a_table_that_names_no_picture_has_that_of_its_rows_only(runs, tmp_path):
    written = write_pictures(
        TABLES["table4"], "table4", runs, LINES, tmp_path, published_of="", mesh=make_mesh()
    )
    assert [path.name for path in tmp_path.iterdir()] == ["table4.png"] == [path.name for path in written]


def test_a_row_without_adaptation_has_no_labels_to_draw(base, tmp_path):
    still = run_config(base / "run")
    still.adapt.epochs = 0
    table: Table = TABLES["fig3"]
    written = write_pictures(
        table,
        "fig3",
        {(0, "MAN"): PlannedRun(still, base / "run")},
        LINES,
        tmp_path,
        published_of="",
        mesh=make_mesh(),
    )
    assert [path.name for path in written] == ["fig3.png"]
