"""Finding a data set's folders and listing their images; every failure says what is there instead."""

from collections.abc import Sequence
from pathlib import Path

from data_pipelines.images import FORMATS
from data_pipelines.printable import printable
from data_pipelines.records import DataError

IMAGE_SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)


def find_base(
    root: Path, *, root_names: Sequence[str], marker: str | Sequence[str], inside: Sequence[str] = ("",)
) -> Path:
    """The folder that holds `marker` (or one of several): `root`, one of `root_names` below it, or `inside` these."""
    markers = (marker,) if isinstance(marker, str) else tuple(marker)
    candidates = [base / sub for base in (root, *(root / name for name in root_names)) for sub in inside]
    for candidate in candidates:
        if any((candidate / name).is_dir() for name in markers):
            return candidate
    looked_for = ", ".join(str(candidate / name) for candidate in candidates for name in markers)
    raise DataError(
        f"no data set below {root}: looked for {looked_for}; {_contents(root)}. "
        f"Give the folder that holds {'/ or '.join(markers)}/, or its parent."
    )


def first_folder(base: Path, *names: str) -> Path:
    """The first of `names` that is a folder below `base`."""
    for name in names:
        if (base / name).is_dir():
            if near := [path for path in subfolders(base) if path.name != name and is_near(path.name, name)]:
                raise DataError(
                    f"{base / name} and {near[0]} differ in capitals or spaces only; which is meant? Join them, or "
                    f"move one away"
                )
            return base / name
    raise DataError(f"{base} has no folder {' or '.join(names)}; {_contents(base)}")


def only_folder(base: Path, *names: str) -> Path:
    """The one of `names` that is a folder below `base`; DataError if several are."""
    folder = first_folder(base, *names)
    if others := [name for name in names if name != folder.name and (base / name).is_dir()]:
        raise DataError(
            f"{base} holds both {folder.name}/ and {others[0]}/, which are two names of one split; keep the one that "
            f"is meant, and move the other away"
        )
    return folder


def is_near(name: str, other: str) -> bool:
    """Whether two names differ in capitals, white space or marks of no width at most."""
    return _plain(name) == _plain(other)


def _plain(name: str) -> str:
    return "".join(c for c in name if c.isprintable() and not c.isspace()).casefold()


def subfolders(folder: Path) -> list[Path]:
    """The folders in `folder`, sorted by name; hidden ones are left out."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def identity_folders(folder: Path, example: str) -> list[tuple[int, Path]]:
    """(identity, its folder) for every folder in `folder`, sorted by identity; `example` is for the error."""
    found: dict[int, Path] = {}
    for path in subfolders(folder):
        if not path.name.isdecimal():
            raise DataError(
                f"{path}: not an identity; expected folders whose names are numbers, as in {example}. "
                "Rename the folder or move it away."
            )
        pid = int(path.name)
        if pid in found:
            raise DataError(f"{path} and {found[pid]} are both identity {pid}; join or rename them")
        found[pid] = path
    return sorted(found.items())


def image_files(folder: Path) -> list[Path]:
    """The image files of `folder`, sorted by name, without hidden ones such as `._0001.jpg`."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )


def shortlist(names: Sequence[object], limit: int = 10) -> str:
    """`a, b, c` of a list, cut after `limit` entries with the number left out."""
    shown = ", ".join(printable(name) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def _contents(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder} is not a folder" if folder.exists() else f"{folder} does not exist"
    names = sorted(path.name + ("/" if path.is_dir() else "") for path in folder.iterdir())
    return f"{folder} holds {shortlist(names)}" if names else f"{folder} is empty"
