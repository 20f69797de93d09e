"""The notebook runs from its first cell to its last, as small as it can be, and was not saved with outputs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.quick_programs import QUICK

ROOT = Path(__file__).parents[1]
NOTEBOOK = json.loads((ROOT / "notebooks/tour.ipynb").read_text(encoding="utf-8"))
CODE = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
SMALL = """
SIZES = {"identities": 6, "test_identities": 3, "triples": 4}
SOURCE_ONLY, ADAPTED = "demo:source_only+smoke", "demo:smoke"
CHANGES = {"model.stage_sizes": (1,), "model.convolution": "lax"}
ADAPTATION = {"adapt.epochs": 1}
"""
CELL = "# --- next cell"


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> tuple[subprocess.CompletedProcess, Path]:
    """All cells in one process, in which the names of the first one have small values."""
    folder = tmp_path_factory.mktemp("tour")
    sizes, *others = CODE
    names = {line.split(" = ")[0] for line in sizes.splitlines() if " = " in line}
    assert {name for line in names for name in line.split(", ")} == {
        *("SIZES", "SOURCE_ONLY", "ADAPTED", "CHANGES", "ADAPTATION")
    }
    script = f"\n{CELL}\n".join([sizes, SMALL, *others, "plt.savefig('rankings.png')"])
    (folder / "tour.py").write_text(script, encoding="utf-8")
    environment = os.environ | QUICK | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    command = [sys.executable, "-W", "error::DeprecationWarning:__main__", "tour.py"]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=400, check=False
    ), folder


def test_the_notebook_runs_to_its_end(told):
    result, _ = told
    assert result.returncode == 0, result.stderr


def test_the_last_cell_compares_before_and_after(told):
    result, _ = told
    lines = result.stdout.splitlines()[-3:]
    assert [line[:24].strip() for line in lines] == ["source only", "adapted", "adapted, R and N alone"]
    assert all("mAP" in line and "R1" in line for line in lines)


def test_everything_is_written_below_the_folders_that_the_notebook_names(told):
    _, folder = told
    assert {path.name for path in folder.iterdir()} == {"data", "runs", "tour.py", "rankings.png"}
    assert {path.name for path in (folder / "runs/tour").iterdir()} == {"source", "adapted"}
    assert {path.name for path in (folder / "data").iterdir()} == {"tour"}


def test_the_notebook_has_ten_cells_and_no_output():
    assert len(NOTEBOOK["cells"]) == 10
    assert not any(cell.get("outputs") for cell in NOTEBOOK["cells"])
    assert len({cell["id"] for cell in NOTEBOOK["cells"]}) == 10
