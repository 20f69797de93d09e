"""Find the columns of a table by name; a header that can be read in two ways is refused."""

import difflib
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_pipelines.reading.folders import shortlist
from data_pipelines.reading.records import DataError

DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}
"""What some programs write in place of commas. Excel writes semicolons where the comma is the decimal sign."""

OTHER_NAMES = {
    "split": ("set", "subset", "partition"),
    "pid": ("id", "identity", "personid", "vehicleid", "person", "vehicle", "label"),
    "camid": ("cam", "camera", "cameraid", "view", "viewid"),
    "scene": ("sceneid", "sid"),
    "R": ("rgb", "vis", "visible"),
    "N": ("ni", "nir", "ir", "infrared", "nearinfrared"),
    "T": ("th", "tir", "ti", "thermal"),
}
"""Other names of these columns. They are not read, but the error suggests the right name."""


def chosen_columns(
    path: Path, names: Sequence[str], *, required: Sequence[str], optional: Sequence[str]
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Find the place of each wanted column in the header `names`, and name the others for a warning.

    Raises DataError if a required column is missing, if a wanted column occurs twice, or if a name differs from a
    wanted one only in capitals or white space.
    """
    check_delimiter(path, names, (*required, *optional))
    places = {column: _place(path, names, column) for column in (*required, *optional)}
    found = {column: place for column, place in places.items() if place is not None}
    others = [name.strip() for i, name in enumerate(names) if i not in found.values()]
    if missing := [column for column in required if column not in found]:
        raise DataError(
            f"{path}: no column {', '.join(missing)}; there are {shortlist(names, 20)}"
            f"{_suggestions(missing, others)}. Needed: {', '.join(required)}, and those of R, N, T there are; scene "
            f"if the rule is that of scenes"
        )
    absent = [column for column in optional if column not in found]
    unread = tuple(f"{name}{_suggestions(absent, [name])}" for name in others if name)
    return found, unread


def check_delimiter(path: Path, names: Sequence[str], wanted: Sequence[str]) -> None:
    """Check that the delimiter of the header is a comma, by the wanted columns; DataError otherwise."""
    known = set(map(_plain, wanted))
    header = ",".join(names)
    if header.casefold().startswith("sep="):
        raise DataError(f"{path}: begins with the line {names[0]!r}, which is no header; remove that line")
    for delimiter, what in DELIMITERS.items():
        parts = {_plain(part) for part in header.split(delimiter)}
        if delimiter in header and len(parts & known) > len(set(map(_plain, names)) & known):
            raise DataError(
                f"{path}: its columns are separated by {what} ({delimiter!r}), as spreadsheets write CSV in some "
                f"countries; save it with commas, and paths that hold commas in quotation marks"
            )


def is_header(cells: Mapping[str, str]) -> bool:
    """Tell whether a row holds the names of columns in place of values, in any order."""
    names = set(map(_plain, cells))
    return sum(_plain(cell) in names for cell in cells.values()) > 1


def _place(path: Path, names: Sequence[str], column: str) -> int | None:
    alike = [i for i, name in enumerate(names) if _plain(name) == _plain(column)]
    if len(alike) > 1:
        found = " and ".join(f"column {i + 1} is {names[i]!r}" for i in alike)
        raise DataError(
            f"{path}: the header has {column} {len(alike)} times ({found}); which is meant? Keep one, and remove or "
            f"rename the others"
        )
    if alike and names[alike[0]].strip() != column:
        raise DataError(
            f"{path}: column {alike[0] + 1} is {names[alike[0]]!r}, which is not the name {column!r} but looks like "
            f"it; write {column!r}, or give it another name if it is something else"
        )
    return alike[0] if alike else None


def _plain(name: str) -> str:
    """Simplify a name: no capitals, no white space, no invisible marks, no wide letters."""
    letters = unicodedata.normalize("NFKC", name)
    return "".join(c for c in letters if c.isprintable() and not c.isspace()).casefold()


def _suggestions(missing: Sequence[str], names: Sequence[str]) -> str:
    """Suggest, as in ` (did you mean …)`, a name for each missing column that resembles one that is there."""
    bare = {"".join(filter(str.isalnum, _plain(name))): name for name in names}
    meant = []
    for column in missing:
        known = [each for each in (column.casefold(), *OTHER_NAMES.get(column, ())) if each in bare]
        # A single letter is near to every short word.
        near = difflib.get_close_matches(column, bare, n=1, cutoff=0.75) if len(column) > 1 else []
        if match := next(iter([*known, *near]), None):
            meant.append(f"{bare[match]!r} to be {column}")
    return f" (did you mean {', '.join(meant)}? Rename it then)" if meant else ""
