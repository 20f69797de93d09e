"""Every file of a data set opened once, in parallel, before anything is written; an interrupted pass is resumed.

What was found of a file is one line of the ledger, which holds as long as the file's size and modification time do.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TextIO

from data_pipelines.folders import shortlist
from data_pipelines.images import open_picture
from data_pipelines.parallel import map_in_order
from data_pipelines.progress import track
from data_pipelines.records import DataError, Dataset, ImageRef

LEDGER = "verified.jsonl"
VERSION = 1
"""Raise it when files would be judged otherwise; older lines are then passed over."""


@dataclass(frozen=True)
class FileReport:
    """What was found of one file; `fault` is the reason why it cannot be used, or empty."""

    path: Path
    size: int = 0
    modified: int = 0
    digest: str = ""
    notes: tuple[str, ...] = ()
    deep_values: tuple[int, int] | None = None
    fault: str = ""


def verify(dataset: Dataset, *, ledger: Path | None = None) -> list[FileReport]:
    """A report on every file of the data set, each once, in the order of the records.

    With `ledger`, files that it knows are not opened, and what is found is added to it at once. Faults are reported,
    not raised, and never remembered: a file may become readable without being changed.
    """
    refs = list({image.path: image for record in _records(dataset) for image in record.images}.values())
    known = _read_ledger(ledger) if ledger else {}
    if ledger is None:
        return list(_reports(dataset, refs, known, None))
    with ledger.open("a", encoding="utf-8") as file:
        return list(_reports(dataset, refs, known, file))


def raise_faults(dataset: Dataset, reports: Sequence[FileReport]) -> None:
    """DataError that names the files which cannot be used, if there are any."""
    faults = [report.fault for report in reports if report.fault]
    if len(faults) == 1:
        raise DataError(faults[0])
    if faults:
        shown = shortlist([f"\n  {fault}" for fault in faults], 20)
        raise DataError(f"{dataset.name}: {len(faults)} files cannot be used:{shown}")


def _records(dataset: Dataset):
    return (record for records in dataset.splits.values() for record in records)


def _reports(
    dataset: Dataset, refs: Sequence[ImageRef], known: dict[str, FileReport], ledger: TextIO | None
) -> Iterator[FileReport]:
    def report(ref: ImageRef) -> tuple[FileReport, bool]:
        return _report(ref, known.get(str(ref.path)))

    found = track(
        map_in_order(report, refs), total=len(refs), description=f"verifying {dataset.name}", unit="file"
    )
    for file_report, is_new in found:
        if ledger and is_new and not file_report.fault:
            ledger.write(_line(file_report))
            ledger.flush()  # so that a kill costs the files of this moment only
        yield file_report


def _report(ref: ImageRef, known: FileReport | None) -> tuple[FileReport, bool]:
    """The report on one file, and whether it was opened for it."""
    try:
        os.fsencode(ref.path).decode()
        status = ref.path.stat()
        if known and (known.size, known.modified) == (status.st_size, status.st_mtime_ns):
            return known, False
        picture = open_picture(ref)
    except UnicodeDecodeError:
        name = str(ref.path).encode("utf-8", "replace").decode()
        return FileReport(ref.path, fault=f"{name}: its name is not UTF-8; rename it"), True
    except OSError as error:
        return FileReport(
            ref.path, fault=f"{ref.path}: cannot be read ({error.strerror}); restore or remove it"
        ), True
    except DataError as error:
        return FileReport(ref.path, fault=str(error)), True
    report = FileReport(ref.path, status.st_size, status.st_mtime_ns, picture.digest)
    return replace(report, notes=picture.notes, deep_values=picture.deep_values), True


def _line(report: FileReport) -> str:
    return json.dumps({**asdict(report), "path": str(report.path), "version": VERSION}) + "\n"


def _read_ledger(path: Path) -> dict[str, FileReport]:
    """The reports by path; a torn or foreign line counts as none."""
    if not path.exists():
        return {}
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)  # or the torn line swallows the next
    known = {}
    for line in content.splitlines():
        try:
            row = json.loads(line)
            if row.pop("version") != VERSION:
                continue
            row |= {"path": Path(row["path"]), "notes": tuple(row["notes"])}
            row["deep_values"] = row["deep_values"] and tuple(row["deep_values"])
            known[str(row["path"])] = FileReport(**row)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return known
