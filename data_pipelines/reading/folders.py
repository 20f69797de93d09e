"""Finding a data set's folders and listing their images; every failure says what is there instead."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from data_pipelines.reading.printable import printable
from data_pipelines.reading.records import DataError
from data_pipelines.storing.images import FORMATS

SplitFolders = Mapping[str, str | Sequence[str]]
"""The names that the folder of each split may have; that of the training triples comes first."""

IMAGE_SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)

SYSTEM_FOLDERS = frozenset(
    {"__MACOSX", "@eaDir", "#recycle", "lost+found", "$RECYCLE.BIN", "System Volume Information"}
)
"""What archives of macOS, network disks and file systems put beside people's data."""


def find_base(
    root: Path, *, root_names: Sequence[str], split_folders: SplitFolders, inside: Sequence[str] = ("",)
) -> Path:
    """The folder that holds the splits: `root`, one of `root_names` below it, or `inside` these.

    It is where a folder of training triples is, or, if there is none, one of the other splits.
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
    """The folder of each split there is, by whichever of its names; DataError if two of them are there.

    Train may be lacking; of the others one that is lacking is an error if another is there.
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
    """The first of `names` that is a folder below `base`."""
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
    """The folders in `folder`, sorted by name; hidden ones and those of the system are left out."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_system_folder(path.name))


def is_system_folder(name: str) -> bool:
    """Whether a folder of this name is hidden, or one that a system made and no user."""
    return name.startswith(".") or name in SYSTEM_FOLDERS


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


def by_suffix(paths: Iterable[Path]) -> str:
    """The suffixes of these files with their counts, the most frequent first: `3 .ppm, 1 .npy`."""
    counts = Counter(path.suffix.lower() or "without a suffix" for path in paths)
    return shortlist([f"{count} {suffix}" for suffix, count in counts.most_common()])


def shortlist(names: Sequence[object], limit: int = 10) -> str:
    """`a, b, c` of a list, cut after `limit` entries with the number left out."""
    shown = ", ".join(printable(name) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def contents(folder: Path) -> str:
    """The names in `folder`, cut after a few; empty if there are none."""
    return shortlist(sorted(path.name + ("/" if path.is_dir() else "") for path in folder.iterdir()))


def _found(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder} is not a folder" if folder.exists() else f"{folder} does not exist"
    return f"{folder} holds {names}" if (names := contents(folder)) else f"{folder} is empty"


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
