"""Find the data sets by name: every file in `readers/` is one."""

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from data_pipelines.checking.checks import check_queries
from data_pipelines.reading import readers
from data_pipelines.reading.passed_over import passed_over_hint, passed_over_warnings
from data_pipelines.reading.records import DataError, Dataset, Facts

__all__ = ["FACTS", "READERS", "check_queries", "read"]

_MODULES = [
    importlib.import_module(f"{readers.__name__}.{found.name}")
    for found in pkgutil.iter_modules(readers.__path__)
]

FACTS: Mapping[str, Facts] = {module.FACTS.name: module.FACTS for module in _MODULES}
"""What is known about each data set before it is opened."""

READERS: Mapping[str, Callable[[Path], Dataset]] = {module.FACTS.name: module.read for module in _MODULES}
"""The readers by name. A reader turns the folders below a root into records, and opens no image."""


def read(name: str, root: Path | str) -> Dataset:
    """Read the records of the data set `name` below `root`; DataError if the folder belongs to another set."""
    if name not in READERS:
        near = difflib.get_close_matches(name.lower(), READERS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise DataError(f"unknown data set {name!r}{hint} Known: {', '.join(READERS)}")
    if not str(root):
        raise DataError(
            f"no folder or table of {name} is named: the root is empty; give it (config.data.source.root or "
            f"config.data.target.root, --root of prepare and evaluate)"
        )
    given = Path(root)
    folder = given.absolute()  # every message names the whole path
    try:
        dataset = READERS[name](folder)
    except DataError as error:
        fitting = [other for other in READERS if other != name and can_read(other, folder)]
        hint = f" The folder does read as {' or '.join(fitting)}: is that the set?" if fitting else ""
        hint += passed_over_hint(folder)
        stop = "" if not hint or str(error).endswith((".", "?")) else "."
        counted = "" if given.is_absolute() else f" ({root} counts from the current folder, {Path.cwd()})"
        raise DataError(f"{error}{counted}{stop}{hint}") from error
    except OSError as error:
        raise DataError(
            f"{error.filename}: cannot be read ({error.strerror}); give yourself access to it"
        ) from error
    _check_root_name(dataset)
    return replace(dataset, warnings=(*dataset.warnings, *passed_over_warnings(dataset)))


def _check_root_name(dataset: Dataset) -> None:
    # WMVeID863 and MSVR310_neo share their layout, not their removal rule: only the folder tells them apart.
    if not FACTS[dataset.name].root_names:
        return  # data of one's own may lie in any folder
    found = dataset.root.name.lower()
    for other, facts in FACTS.items():
        if other != dataset.name and found in (name.lower() for name in facts.root_names):
            raise DataError(
                f"{dataset.root}: read as {dataset.name}, but {dataset.root.name} is what the folder of {other} is "
                f"called, and its protocol may be another; name the set {other}, or rename the folder if it is not"
            )


def can_read(name: str, folder: Path) -> bool:
    """Tell whether a folder has the layout of the data set `name`."""
    try:
        READERS[name](folder)
    except (DataError, OSError):
        return False
    return True
