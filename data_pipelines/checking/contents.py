"""Keep digest and look of the files of a prepared data set, so that two data sets can be compared.

They are in one file beside the shards, because they would make the table of the triples ten times as large.
"""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_pipelines.checking.looks import LOOK_BYTES
from data_pipelines.checking.verification import FileReport
from data_pipelines.reading.records import Dataset

FILE = "contents.npz"
DIGEST_BYTES = 16


@dataclass(frozen=True, eq=False)
class Contents:
    """Digests, uint8 [N, M, DIGEST_BYTES], and looks, [N, M, LOOK_BYTES], of N triples; a blank picture has zeros."""

    digests: np.ndarray
    looks: np.ndarray


def write_contents(path: Path, dataset: Dataset, reports: Sequence[FileReport], fingerprint: str) -> None:
    """Write what was found of each triple's files, with the data set's fingerprint; whole or not at all."""
    known = {report.path: report for report in reports}
    arrays: dict[str, np.ndarray] = {}
    for split, records in dataset.splits.items():
        shape = (len(records), len(dataset.modalities))
        arrays[f"{split}_digests"] = np.zeros((*shape, DIGEST_BYTES), np.uint8)
        arrays[f"{split}_looks"] = np.zeros((*shape, LOOK_BYTES), np.uint8)
        for i, record in enumerate(records):
            for m, image in enumerate(record.images):
                report = known[image.path]
                arrays[f"{split}_digests"][i, m] = np.frombuffer(bytes.fromhex(report.digest), np.uint8)
                if report.look:
                    arrays[f"{split}_looks"][i, m] = np.frombuffer(bytes.fromhex(report.look), np.uint8)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, fingerprint=np.array(fingerprint), **arrays)
    partial.replace(path)


def read_contents(
    path: Path, split: str, fingerprint: str, columns: Sequence[int] | None = None
) -> Contents | None:
    """Read what was kept of a split, for the modalities at `columns` (None: all); None if there is nothing."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if str(arrays["fingerprint"]) != fingerprint:
                return None
            digests, looks = arrays[f"{split}_digests"], arrays[f"{split}_looks"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    chosen = slice(None) if columns is None else list(columns)
    return Contents(digests[:, chosen], looks[:, chosen])
