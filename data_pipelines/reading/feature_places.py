"""Find the triples in a folder or a table whose features are wanted, whatever its layout and with or without labels.

A place is a folder in the layout of any reader, a flat folder (`R/`, `N/`, `T/` with files of one name for each
triple), or a table with a column of paths for each modality. Training triples and labels are not needed.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data_pipelines.reading.datasets import FACTS, READERS, can_read, read
from data_pipelines.reading.folders import contents, is_near, shortlist, subfolders
from data_pipelines.reading.numbers import numbered_record
from data_pipelines.reading.pairing import Images, paired_images
from data_pipelines.reading.passed_over import passed_over_hint, passed_over_warnings
from data_pipelines.reading.readers import manifest
from data_pipelines.reading.records import MODALITIES, SPLITS, DataError, Dataset, Record
from data_pipelines.reading.roles import absence_warnings

FLAT = "folder"
"""The name that a flat folder has in messages, as the reader of folders has."""

_LABELLED = re.compile(r"(?P<pid>\d+)_c(?P<camid>\d+)(_.*)?", re.DOTALL)


def read_place(
    place: Path,
    *,
    wanted: Sequence[str] | None = None,
    known: Sequence[str] = MODALITIES,
    name: str | None = None,
    split: str | None = None,
    likely: str | None = None,
) -> tuple[Dataset, bool]:
    """Read the records of the triples in `place`, and tell whether they are in splits; opens no image.

    Args:
        place: a folder or a table.
        wanted: the modalities that each triple is to have; None: those of `known` that the place has.
        known: the modalities that can be used.
        name: the data set whose layout it is; None finds out.
        split: one of `SPLITS`; None: all triples, each once.
        likely: the data set that a layout of several sets is taken for.

    Raises:
        DataError: the place holds no triples, lacks a modality or an image of a triple, or fits several data sets.
    """
    place = place.absolute()
    try:
        dataset, has_splits = _read_any(place, wanted, known, name, likely)
    except OSError as error:
        raise DataError(
            f"{error.filename}: cannot be read ({error.strerror}); give yourself access to it"
        ) from error
    modalities = _usable(place, dataset.modalities, wanted, known)
    return _chosen(dataset, modalities, split, has_splits=has_splits), has_splits


def find_layout(place: Path, likely: str | None = None) -> str:
    """Find the name of the data set in whose layout a folder or table is; DataError if it has none, or several.

    `likely`: the data set that a layout of several sets is taken for.
    """
    place = place.absolute()
    _check_there(place)
    return manifest.FACTS.name if _is_table(place) else _layout(place, likely)


def _usable(
    place: Path, found: Sequence[str], wanted: Sequence[str] | None, known: Sequence[str]
) -> tuple[str, ...]:
    """Choose the modalities that are wanted, or those of `known` that were found; DataError if there are none."""
    if lacking := [each for each in wanted or () if each not in found]:
        raise DataError(
            f"{place} has the modalities {', '.join(found)}, not {', '.join(lacking)}; add these images, or ask for "
            f"some of those that are there"
        )
    usable = tuple(each for each in wanted or known if each in found)
    if not usable:
        raise DataError(
            f"{place} has the modalities {', '.join(found)}, and none of {', '.join(known)}, which can be used"
        )
    return usable


def _check_there(place: Path) -> None:
    if not place.exists():
        raise DataError(f"{place} does not exist; name a folder of images or a table of their paths")


def _is_table(place: Path) -> bool:
    return place.is_file() or any((place / each).is_file() for each in manifest.FILES)


def _read_any(
    place: Path, wanted: Sequence[str] | None, known: Sequence[str], name: str | None, likely: str | None
) -> tuple[Dataset, bool]:
    _check_there(place)
    if name is not None and name != manifest.FACTS.name:
        return read(name, place), True
    if name is not None or _is_table(place):
        return manifest.read_triples(place, wanted, known)
    if any((place / each).is_dir() for each in MODALITIES):
        return _flat(place, wanted, known), False
    return read(_layout(place, likely), place), True


def _flat(folder: Path, wanted: Sequence[str] | None, known: Sequence[str]) -> Dataset:
    """Read a flat folder; a file without its partners is an error, because nobody would notice its absence later."""
    found = tuple(name for name in MODALITIES if (folder / name).is_dir())
    modalities = _usable(folder, found, wanted, known)
    triples, orphans = paired_images(folder, modalities)
    if orphans:
        names = [path.relative_to(folder).as_posix() for path in orphans]
        raise DataError(
            f"{folder}: {len(orphans)} images lack a partner of the same name, up to the suffix, in another of "
            f"{'/, '.join(modalities)}/: {shortlist(names)}; add the partners, or move these images away"
        )
    if not triples:
        raise DataError(f"{folder}: no image in {'/, '.join(modalities)}/.{passed_over_hint(folder)}")
    dataset = Dataset(
        FLAT, folder, dict.fromkeys(SPLITS, ()) | {"query": _records(triples)}, "camid", (), modalities
    )
    return replace(dataset, warnings=passed_over_warnings(dataset))


def _records(triples: Sequence[Images]) -> tuple[Record, ...]:
    """Make the records; names count as identity and camera, as in 12_c3_anything.jpg, if all of them are such names."""
    names = [_LABELLED.fullmatch(images[0].path.stem) for images in triples]
    if all(names):
        return tuple(
            numbered_record(images, pid=name["pid"], camid=name["camid"])
            for images, name in zip(triples, names, strict=True)
            if name
        )
    return tuple(Record(images, pid=-1, camid=-1) for images in triples)


def _layout(folder: Path, likely: str | None) -> str:
    """Find the data set whose layout a folder has; DataError if it has none, or that of several."""
    fitting = [name for name in READERS if name != manifest.FACTS.name and can_read(name, folder)]
    called = [name for name in fitting if folder.name.lower() in map(str.lower, FACTS[name].root_names)]
    for names in (called, fitting, [name for name in fitting if name == likely]):
        if len(names) == 1:
            return names[0]
    if fitting:
        raise DataError(f"{folder} has the layout of {' and of '.join(fitting)}; say which data set it is")
    near = [path.name for path in subfolders(folder) if any(is_near(path.name, name) for name in MODALITIES)]
    meant = f" Is {near[0]}/ meant to be {near[0].strip().upper()}/?" if near else ""
    raise DataError(
        f"{folder} holds no triples that are found: {contents(folder) or 'it is empty'}. Give a folder with the "
        f"folders {'/, '.join(MODALITIES)}/ (or some of them) and files of one name for each triple, a folder in the "
        f"layout of {', '.join(sorted(READERS))}, or a table with columns of paths {', '.join(MODALITIES)}."
        f"{meant}{passed_over_hint(folder)}"
    )


def _chosen(dataset: Dataset, modalities: Sequence[str], split: str | None, *, has_splits: bool) -> Dataset:
    """Keep the records of the split, or all, each once, and of each record the wanted images."""
    present = [each for each in SPLITS if dataset.splits[each]]
    if split is not None and not has_splits:
        raise DataError(f"{dataset.root} has no splits, and {split} is asked for; leave the split out")
    if split is not None and split not in present:
        raise DataError(f"{dataset.root} has no triple in the split {split}; choose {' or '.join(present)}")
    places = [dataset.modalities.index(each) for each in modalities]
    seen: set[Images] = set()
    kept: dict[str, tuple[Record, ...]] = {}
    for each in SPLITS:
        records = dataset.splits[each] if split in (None, each) else ()
        new = [record for record in records if record.images not in seen]
        seen |= {record.images for record in new} if split is None and has_splits else set()
        kept[each] = tuple(replace(record, images=tuple(record.images[m] for m in places)) for record in new)
    # That a set cannot be trained on, or scored, is no matter here; a table may hold any of the splits.
    is_set = ("query" in present) == ("gallery" in present)
    ignored = absence_warnings(dataset.name, dataset.root, dict.fromkeys(present, ())) if is_set else ()
    warnings = tuple(warning for warning in dataset.warnings if warning not in ignored)
    return replace(dataset, splits=kept, modalities=tuple(modalities), warnings=warnings)
