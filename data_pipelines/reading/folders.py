"""Find a data set's folders and list their images; every error says what is there instead."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from data_pipelines.reading.printable import printable
from data_pipelines.reading.records import DataError
from data_pipelines.storing.images import FORMATS

SplitFolders = Mapping[str, str | Sequence[str]]
"""The names that the folder of each split may have; the training split comes first."""

IMAGE_SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)

SYSTEM_FOLDERS = frozenset(
    {"__MACOSX", "@eaDir", "#recycle", "lost+found", "$RECYCLE.BIN", "System Volume Information"}
)
"""Folders that macOS, network disks and file systems put beside the data."""


def find_base(
    root: Path, *, root_names: Sequence[str], split_folders: SplitFolders, inside: Sequence[str] = ("",)
) -> Path:
    """Find the folder that holds the splits: `root`, one of `root_names` below it, or `inside` these.

    It is the one with a folder of training triples, or, if there is none, the one with a folder of another split.
    """
    train, *others = (_names(folders) for folders in split_folders.values())
    test = tuple(name for names in others for name in names)
    candidates = [base / sub for base in (root, *(root / name for name in root_names)) for sub in inside]
    for markers in (train, test):
        for candidate in candidates:
            if any((candidate / name).is_dir() for name in markers):
                return candidate
    looked_for = ", ".join(str(candidate / name) for candidate in candidates for name in train)
    raise DataError(
        f"no data set below {root}: looked for {looked_for}; {_found(root)}. "
        f"Give the folder that holds {'/ or '.join(train)}/, or its parent; without training triples, the folder of "
        f"{'/ or '.join(dict.fromkeys(test))}/."
    )


def present_folders(base: Path, split_folders: SplitFolders) -> dict[str, Path]:
    """Find the folder of each split by any of its names; DataError if two names of a split exist.

    The training folder may be missing. If one of the other splits exists, the rest of them must exist too.
    """
    found = {
        split: only_folder(base, *_names(names))
        for split, names in split_folders.items()
        if any((base / name).is_dir() for name in _names(names))
    }
    _, *test = split_folders
    lacking = [split for split in test if split not in found]
    if lacking != test:
        for split in lacking:
            first_folder(base, *_names(split_folders[split]))  # says what is there instead
    return found


def first_folder(base: Path, *names: str) -> Path:
    """Find the first of `names` that is a folder in `base`; DataError if none is."""
    for name in names:
        if (base / name).is_dir():
            if near := [path for path in subfolders(base) if path.name != name and is_near(path.name, name)]:
                raise DataError(
                    f"{base / name} and {near[0]} differ in capitals or spaces only; which is meant? Join them, or "
                    f"move one away"
                )
            return base / name
    raise DataError(f"{base} has no folder {' or '.join(names)}; {_found(base)}")


def only_folder(base: Path, *names: str) -> Path:
    """Find the one of `names` that is a folder in `base`; DataError if several are."""
    folder = first_folder(base, *names)
    if others := [name for name in names if name != folder.name and (base / name).is_dir()]:
        raise DataError(
            f"{base} holds both {folder.name}/ and {others[0]}/, which are two names of one split; keep the one that "
            f"is meant, and move the other away"
        )
    return folder


def is_near(name: str, other: str) -> bool:
    """Tell whether two names are the same but for capitals, white space and invisible marks."""
    return _plain(name) == _plain(other)


def _plain(name: str) -> str:
    return "".join(c for c in name if c.isprintable() and not c.isspace()).casefold()


def subfolders(folder: Path) -> list[Path]:
    """List the folders in `folder`, sorted by name, without hidden folders and those of the system."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_system_folder(path.name))


def is_system_folder(name: str) -> bool:
    """Tell whether a folder of this name is hidden, or made by a system and not by a user."""
    return name.startswith(".") or name in SYSTEM_FOLDERS


def identity_folders(folder: Path, example: str) -> list[tuple[int, Path]]:
    """List (identity, its folder) for every folder in `folder`, by identity; the error shows `example`."""
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
    """List the image files of `folder`, sorted by name, without hidden ones such as `._0001.jpg`."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )


def by_suffix(paths: Iterable[Path]) -> str:
    """Count files by suffix, the most frequent first, as in `3 .ppm, 1 .npy`."""
    counts = Counter(path.suffix.lower() or "without a suffix" for path in paths)
    return shortlist([f"{count} {suffix}" for suffix, count in counts.most_common()])


def shortlist(names: Sequence[object], limit: int = 10) -> str:
    """Join names as in `a, b, c`; after `limit` names, only the number of the others is given."""
    shown = ", ".join(printable(name) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def contents(folder: Path) -> str:
    """List the first names in `folder` in a text, which is empty if there are none."""
    return shortlist(sorted(path.name + ("/" if path.is_dir() else "") for path in folder.iterdir()))


def _found(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder} is not a folder" if folder.exists() else f"{folder} does not exist"
    return f"{folder} holds {names}" if (names := contents(folder)) else f"{folder} is empty"


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
