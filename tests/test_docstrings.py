"""The first word of every public function's docstring is an imperative: what the function does, in a verb."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

ROOMS = (
    "man_jax",
    "data_pipelines",
    "benchmarks",
    "configs",
)
"""Files and folders whose docstrings are read."""

VERBS = """
    Add Align Append Apply Average Begin Break Bring Build Cast Change Check Choose Close Cluster Collect
    Compare Compile Compute Concatenate Connect Contrast Convolve Copy Count Create Cut Decode Define Describe
    Do Draw Drop Encode End Enumerate Estimate Evaluate Explain Expose Extract Fill Find Fix Flip Forget Give
    Group Import Join Judge Keep Label Lay Leave Let List Load Lock Look Make Map Mark Match Measure Merge Mix
    Move Multiply Name Normalise Note Number Open Paint Pair Parse Pass Place Plan Pool Pre-train Prepare
    Print Project Push Put Raise Rank Read Receive Refuse Remove Rename Render Replace Report Resample Restore
    Return Run Sample Save Say Scale Search Select Send Serve Set Shorten Show Shuffle Sort Split Stack Strip
    Sum Take Tell Time Trace Train Transform Turn Unpack Update Verify Wait Warn Watch Weigh Write Yield
"""
IMPERATIVES = frozenset(VERBS.split())
"""Verbs that a docstring may begin with; add one where it says more than those there are."""

EXAMPLE = '''
class Part:
    @property
    def size(self):
        """Length of it."""

    def __call__(self):
        """What it does."""

def _hidden():
    """Of no concern."""

def silent(): ...

def good():
    """Compute a thing."""

def bad():
    """The thing that is computed."""

async def worse():
    """Computes a thing."""
'''


def public_functions(
    node: ast.AST, owner: str = ""
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Functions and methods by name, without properties, and without `main`, whose docstring a command prints."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from public_functions(child, f"{child.name}.")
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            is_property = any("property" in ast.unparse(each) for each in child.decorator_list)
            if child.name == "__call__" or not (
                child.name.startswith("_") or child.name == "main" or is_property
            ):
                yield owner + child.name, child


def first_words_that_are_no_verb(text: str, place: str) -> list[str]:
    return [
        f"{place}:{function.lineno} {name}: {documented.splitlines()[0]!r} does not begin with an imperative"
        for name, function in public_functions(ast.parse(text))
        if (documented := ast.get_docstring(function))
        and documented.split()[0].rstrip(",:;.") not in IMPERATIVES
    ]


def files(room: str) -> list[Path]:
    path = ROOT / room
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_function_says_what_it_does_in_an_imperative(room):
    assert files(room)
    told = [
        line
        for path in files(room)
        for line in first_words_that_are_no_verb(
            path.read_text(encoding="utf-8"), str(path.relative_to(ROOT))
        )
    ]
    assert told == []


def test_a_sentence_without_a_verb_at_its_head_is_found_and_properties_and_private_functions_are_not_asked():
    told = first_words_that_are_no_verb(EXAMPLE, "example.py")
    assert [line.split(":")[1].split()[1] for line in told] == ["Part.__call__", "bad", "worse"]
