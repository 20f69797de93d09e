"""Triples that are read where they are, one by one and without being prepared, to take their features."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.checking.examination import file_warnings, name_option
from data_pipelines.checking.verification import raise_faults, verify
from data_pipelines.reading.records import SPLITS, DataError, Dataset, ImageRef, Record
from data_pipelines.storing.given_images import KINDS, as_rgb, check_given, path_of
from data_pipelines.storing.images import ImageSettings, check_deep_range, read_triple, resized


@dataclass(frozen=True, eq=False)
class UnpreparedTriples:
    """N triples, what is known of them, and a function that reads the images of one."""

    read: Callable[[int], np.ndarray]
    """From the place of a triple to its images, uint8 [M, H, W, 3], resized as those of a prepared set."""
    modalities: tuple[str, ...]
    paths: list[tuple[str, ...]]
    """The whole paths of each triple's images; "" for one that is no file."""
    pids: np.ndarray
    """int64 [N]; −1 if unknown, as in `camids`."""
    camids: np.ndarray
    about: dict[str, Any] = field(default_factory=dict)
    """Where they come from; whatever JSON can hold."""
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)


def triples_of_dataset(
    dataset: Dataset, settings: ImageSettings, *, has_splits: bool, deep_range_option: str = "deep_range"
) -> UnpreparedTriples:
    """Open the triples of a data set in the order train, query, gallery; every file is read once now, to check it.

    `deep_range_option` is the name that `deep_range` has in advice to the user. Raises DataError with the names of the
    files that cannot be used.
    """
    check_deep_range(settings.deep_range)
    records = [record for split in SPLITS for record in dataset.splits[split]]
    filters = [settings.filter_of(split) for split in SPLITS for _ in dataset.splits[split]]
    reports = verify(dataset, deep_range=settings.deep_range)
    raise_faults(dataset, reports)
    warnings = (*dataset.warnings, *file_warnings(dataset, reports, settings.deep_range))

    def read(place: int) -> np.ndarray:
        return read_triple(
            records[place], settings.image_size, settings.deep_range, filter_name=filters[place]
        )

    about: dict[str, Any] = {"data": str(dataset.root)}
    if has_splits:
        about |= {"dataset": dataset.name}
        about |= {"splits": {split: len(found) for split, found in dataset.splits.items() if found}}
    boxes = {tuple(image.box for image in record.images) for record in records}
    if len(boxes) == 1 and None not in (found := next(iter(boxes))):
        about["boxes"] = [list(box or ()) for box in found]
    return UnpreparedTriples(
        read=read,
        modalities=dataset.modalities,
        paths=[tuple(str(image.path) for image in record.images) for record in records],
        pids=np.array([record.pid for record in records], np.int64),
        camids=np.array([record.camid for record in records], np.int64),
        about=about,
        warnings=tuple(name_option(warning, deep_range_option) for warning in warnings),
    )


def triples_of_images(
    given: Any, settings: ImageSettings, *, of_run: Sequence[str], wanted: Sequence[str] | None
) -> UnpreparedTriples:
    """Open triples that a program gives: a sequence of tuples of images, or an array uint8 [N, M, H, W, 3].

    Args:
        given: each image is a path, an image of Pillow, or an array of any size.
        settings: how the images are resized, and the raw range of those of more than 8 bits.
        of_run: the modalities of the network, in whose order the images of a triple are.
        wanted: those that are to be used; None: all. A tuple has the images of these, or of all of `of_run`.

    Raises:
        DataError: an image cannot be used, or a triple has another number of images; the message says which.
    """
    check_deep_range(settings.deep_range)
    modalities = tuple(of_run if wanted is None else wanted)
    triples = [_images(each, place, modalities, of_run) for place, each in enumerate(_listed(given))]
    paths = [[path_of(image) for image in images] for images in triples]
    for place, images in enumerate(triples):
        for name, image in zip(modalities, images, strict=True):
            check_given(image, f"triple {place}, {name}")
    refs = [tuple(ImageRef(path) for path in row if path is not None) for row in paths]
    files = Dataset(
        "the triples",
        Path.cwd(),
        dict.fromkeys(SPLITS, ()) | {"query": _records(refs)},
        "camid",
        (),
        modalities,
    )
    reports = verify(files, deep_range=settings.deep_range)
    raise_faults(files, reports)

    def read(place: int) -> np.ndarray:
        named = zip(modalities, triples[place], strict=True)
        pictures = [as_rgb(image, f"triple {place}, {name}", settings.deep_range) for name, image in named]
        return np.stack([resized(picture, settings.image_size) for picture in pictures])

    unknown = np.full(len(triples), -1, np.int64)
    return UnpreparedTriples(
        read=read,
        modalities=modalities,
        paths=[tuple("" if path is None else str(path) for path in row) for row in paths],
        pids=unknown,
        camids=unknown.copy(),
        warnings=file_warnings(files, reports, settings.deep_range),
    )


def _records(refs: Sequence[tuple[ImageRef, ...]]) -> tuple[Record, ...]:
    return tuple(Record(images, pid=-1, camid=-1) for images in refs if images)


def _listed(given: Any) -> Sequence[Any]:
    """Give the triples as a sequence; an array stays one, whose rows are taken as they are read."""
    if hasattr(given, "__array__") and not isinstance(given, list | tuple):
        given = np.asarray(given)
        if given.ndim != 5 or given.shape[-1] != 3:
            raise DataError(
                f"the triples are an array of shape {list(given.shape)}; it must be [N, M, H, W, 3], or give a list of "
                f"triples"
            )
        return given  # pyright: ignore[reportReturnType]
    if isinstance(given, dict) or not hasattr(given, "__iter__"):
        raise DataError(
            f"the triples are {type(given).__name__}; give a list of triples, each a tuple of images"
        )
    return list(given)


def _is_image(triple: Any, modalities: Sequence[str]) -> bool:
    """Tell whether an array is the image of the only modality, and not one or more images along its first axis."""
    shape = np.shape(triple) if len(modalities) == 1 and hasattr(triple, "__array__") else ()
    return len(shape) == 2 or (len(shape) == 3 and shape[-1] in (1, 3))


def _images(triple: Any, place: int, modalities: Sequence[str], of_run: Sequence[str]) -> Sequence[Any]:
    """Take the images of the modalities from a triple, which has them only, or one for each modality of the run."""
    if path_of(triple) is not None or not hasattr(triple, "__len__") or _is_image(triple, modalities):
        if len(modalities) == 1:
            return [triple]  # of one modality, each image may stand for itself
        raise DataError(
            f"triple {place} is {type(triple).__name__}; give a list of triples, each a tuple of {len(modalities)} "
            f"images of {', '.join(modalities)}, and each image {KINDS}"
        )
    if len(triple) == len(modalities):
        return list(triple)
    if len(triple) == len(of_run):
        return [triple[list(of_run).index(name)] for name in modalities]
    raise DataError(
        f"triple {place} has {len(triple)} images; {len(modalities)} are wanted, of {', '.join(modalities)}. Name the "
        f"modalities that it has"
    )
