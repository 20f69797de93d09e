"""The data sets known by name."""

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path

from data_pipelines import rgbnt100, wmveid863
from data_pipelines.checks import check_queries
from data_pipelines.records import DataError, Dataset, Facts

__all__ = ["FACTS", "READERS", "check_queries", "read"]

READERS: Mapping[str, Callable[[Path], Dataset]] = {
    "rgbnt100": rgbnt100.read,
    "wmveid863": wmveid863.read,
}
"""Each reader parses the folders below a root into records; it opens no image."""

FACTS: Mapping[str, Facts] = {facts.name: facts for facts in (rgbnt100.FACTS, wmveid863.FACTS)}
"""What is known of each before it is opened."""


def read(name: str, root: Path | str) -> Dataset:
    """The records of the data set `name` below `root`."""
    if name not in READERS:
        near = difflib.get_close_matches(name.lower(), READERS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise DataError(f"unknown data set {name!r}{hint} Known: {', '.join(READERS)}")
    return READERS[name](Path(root).expanduser())
