"""The keys of a method, which a user may set, and its needs; both are read without importing the method's file."""

import ast
import math
from pathlib import Path
from typing import Any, NamedTuple

NEEDS = {
    "cameras": "the target's training triples have two cameras or more",
    "source": "the source takes part in adaptation, which it does under the UDA protocol only",
    "stages": "the backbone gives maps stage by stage",
    "views": "two views of a triple differ",
}
"""What a method may need of the data or the configuration beyond what training needs."""


class Key(NamedTuple):
    """One key of `config.NAME`: its default, its meaning (with unit and source), and its possible values."""

    default: Any
    about: str
    """Meaning, unit and source, in a line."""
    choices: tuple[Any, ...] = ()
    """The possible values. (): every value of the default's type between `least` and `largest`."""
    least: float = -math.inf
    largest: float = math.inf


def read_keys(path: Path) -> dict[str, Key]:
    """Read the table `KEYS` of a method's file without importing the file.

    A method imports JAX, which takes a second, and help and a misspelt key should be answered at once.

    Raises:
        ValueError: the file has no table `KEYS`, or one that is not written out.
    """
    table = _written_out(path, "KEYS")
    if table is None:
        raise ValueError(
            f"{path}: there is no table KEYS; begin with KEYS = {{}} and add the method's keys to it"
        )
    return table


def read_needs(path: Path) -> tuple[str, ...]:
    """Read what a method needs, the names in `NEEDS` of its file, without importing the file; () if it has none.

    Raises:
        ValueError: `NEEDS` is not written out, or has a name that is none of `NEEDS` here.
    """
    needs = _written_out(path, "NEEDS") or ()
    for name in needs:
        if name not in NEEDS:
            raise ValueError(f"{path}: NEEDS has {name!r}; choose from {', '.join(NEEDS)}")
    return tuple(needs)


def _written_out(path: Path, name: str) -> Any:
    """Evaluate the value that a file assigns to a name; None if there is no such assignment."""
    for statement in ast.parse(path.read_text(encoding="utf-8"), str(path)).body:
        if isinstance(statement, ast.Assign) and [ast.unparse(each) for each in statement.targets] == [name]:
            value = compile(ast.Expression(statement.value), str(path), "eval")
            try:
                return eval(value, {"Key": Key, "__builtins__": {}})
            except NameError as error:
                raise ValueError(
                    f"{path}: {name} uses a name ({error}); write its values out, so that they can be read alone"
                ) from None
    return None


def key_problem(name: str, value: Any, key: Key) -> str | None:
    """Say what is wrong with the value of a key, e.g. "config.man.alpha is -1; it must be at least 0 and finite"."""
    if key.choices:
        if value not in key.choices:
            return f"config.{name} is {value!r}; choose one of {', '.join(map(str, key.choices))}"
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if key.least <= value <= key.largest and math.isfinite(value):
        return None
    if key.largest < math.inf:
        return f"config.{name} is {value}; it must be between {key.least} and {key.largest}"
    least = f"at least {key.least} and " if key.least > -math.inf else ""
    return f"config.{name} is {value}; it must be {least}finite"
