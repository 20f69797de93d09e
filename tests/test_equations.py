"""docs/EQUATIONS.md points only to what exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = [
    line
    for line in (ROOT / "docs/EQUATIONS.md").read_text().splitlines()
    if line.startswith("|") and ".py" in line
]


def definitions(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text()).body if hasattr(node, "name")}


@pytest.mark.parametrize("row", ROWS)
def test_every_row_names_a_function_and_a_test_that_exist(row):
    references = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", row)
    assert len(references) == 2
    for file, name in references:
        assert (ROOT / file).is_file(), file
        assert not name or name in definitions(ROOT / file), f"{name} in {file}"


def test_every_numbered_equation_has_a_row():
    numbers = set()
    for cell in (row.split("|")[1] for row in ROWS):
        if re.fullmatch(r"[\d–, ]+", cell):  # not those of a table or a section
            for first, last in re.findall(r"(\d+)(?:–(\d+))?", cell):
                numbers |= set(range(int(first), int(last or first) + 1))
    assert numbers == set(range(1, 24))
