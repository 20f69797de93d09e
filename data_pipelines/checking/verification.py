"""Open every file of a data set once, in parallel, before anything is written; an interrupted pass is resumed.

The result of each file is one line of the ledger. It is valid as long as the file keeps its size and modification time.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TextIO

from data_pipelines.checking.depth_advice import measure_depth
from data_pipelines.checking.looks import look
from data_pipelines.reading.printable import printable
from data_pipelines.reading.records import DataError, Dataset, ImageRef
from data_pipelines.session.parallel import map_in_order
from data_pipelines.session.progress import track
from data_pipelines.storing.images import DEEP_RANGE, open_picture

LEDGER = "verified.jsonl"
MOST_SHOWN = 20
"""At most so many faults are listed in an error."""
VERSION = 2
"""Raise this number when files are judged in another way; lines of older versions are then ignored."""


@dataclass(frozen=True)
class FileReport:
    """What was found about one file; `fault` is the reason why it cannot be used, or empty."""

    path: Path
    size: int = 0
    modified: int = 0
    digest: str = ""
    notes: tuple[str, ...] = ()
    deep_values: tuple[int, int] | None = None
    """The smallest and the largest raw value of an image of more than 8 bits; the next two are for such images too."""
    deep_quantiles: tuple[int, ...] | None = None
    """The raw values at `depth_advice.SHARES`."""
    share_cut: float = 0.0
    """The share of the raw values outside of `deep_range`."""
    look: str | None = None
    """What `looks.look` found, in hexadecimal digits; "" if the picture is blank, None if it was not computed."""
    fault: str = ""


def verify(
    dataset: Dataset, *, ledger: Path | None = None, deep_range: tuple[int, int] = DEEP_RANGE
) -> list[FileReport]:
    """Report on every file of the data set, each once, in the order of the records.

    Files that are in the `ledger` are not opened, and each new result is added to it at once. Faults are reported and
    not raised. They are not kept in the ledger, because a file may become readable without being changed. Values
    outside of `deep_range` count as cut; a ledger of another range is not used.
    """
    refs = list({image.path: image for record in _records(dataset) for image in record.images}.values())
    known = _read_ledger(ledger, deep_range) if ledger else {}
    if ledger is None:
        return list(_reports(dataset, refs, known, None, deep_range))
    with ledger.open("a", encoding="utf-8") as file:
        return list(_reports(dataset, refs, known, file, deep_range))


def raise_faults(dataset: Dataset, reports: Sequence[FileReport]) -> None:
    """Raise a DataError that names the files which cannot be used, if there are any."""
    faults = [report.fault for report in reports if report.fault]
    if len(faults) == 1:
        raise DataError(faults[0])
    if faults:
        more = [f"and {len(faults) - MOST_SHOWN} more"] if len(faults) > MOST_SHOWN else []
        raise DataError(f"{dataset.name}: {len(faults)} files cannot be used:", *faults[:MOST_SHOWN], *more)


def _records(dataset: Dataset):
    return (record for records in dataset.splits.values() for record in records)


def _reports(
    dataset: Dataset,
    refs: Sequence[ImageRef],
    known: dict[str, FileReport],
    ledger: TextIO | None,
    deep_range: tuple[int, int],
) -> Iterator[FileReport]:
    def report(ref: ImageRef) -> tuple[FileReport, bool]:
        return _report(ref, known.get(str(ref.path)), deep_range)

    found = track(
        map_in_order(report, refs), total=len(refs), description=f"verifying {dataset.name}", unit="file"
    )
    for file_report, is_new in found:
        if ledger and is_new and not file_report.fault:
            ledger.write(_line(file_report, deep_range))
            ledger.flush()  # so that a kill costs the files of this moment only
        yield file_report


def _report(ref: ImageRef, known: FileReport | None, deep_range: tuple[int, int]) -> tuple[FileReport, bool]:
    """Report on one file, and tell whether it had to be opened."""
    try:
        os.fsencode(ref.path.name).decode()  # of its folders nothing is kept
        status = ref.path.stat()
        if known and (known.size, known.modified) == (status.st_size, status.st_mtime_ns):
            return known, False
        picture = open_picture(ref)
    except UnicodeDecodeError:
        return FileReport(ref.path, fault=f"{printable(ref.path)}: its name is not UTF-8; rename it"), True
    except OSError as error:
        return FileReport(
            ref.path, fault=f"{ref.path}: cannot be read ({error.strerror}); restore or remove it"
        ), True
    except DataError as error:
        return FileReport(ref.path, fault=str(error)), True
    report = FileReport(ref.path, status.st_size, status.st_mtime_ns, picture.digest)
    found = look(picture.image, picture.raw)
    report = replace(report, notes=picture.notes, look="" if found is None else found.tobytes().hex())
    if picture.raw is not None:
        quantiles, share_cut = measure_depth(picture.raw, deep_range)
        report = replace(
            report, deep_values=picture.deep_values, deep_quantiles=quantiles, share_cut=share_cut
        )
    return report, True


def _line(report: FileReport, deep_range: tuple[int, int]) -> str:
    stamp = {"version": VERSION, "deep_range": list(deep_range)}
    return json.dumps({**asdict(report), "path": str(report.path), **stamp}) + "\n"


def _read_ledger(path: Path, deep_range: tuple[int, int]) -> dict[str, FileReport]:
    """Read the reports by path; a torn line, or one of another program, is ignored."""
    if not path.exists():
        return {}
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)  # or the torn line swallows the next
    known = {}
    for line in content.splitlines():
        try:
            row = json.loads(line)
            if row.pop("version") != VERSION or row.pop("deep_range") != list(deep_range):
                continue
            row |= {"path": Path(row["path"]), "notes": tuple(row["notes"])}
            for column in ("deep_values", "deep_quantiles"):
                row[column] = row[column] and tuple(row[column])
            known[str(row["path"])] = FileReport(**row)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return known
