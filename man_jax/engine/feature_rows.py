"""Keep the features of an epoch in memory or in files that are mapped, and write them a batch at a time."""

import math
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data_pipelines.loading.free_memory import available_memory
from data_pipelines.session.disk import writing
from man_jax.config import Config, ConfigError
from man_jax.costs.chips import GIB
from man_jax.frame import Frame, Network

Place = Literal["auto", "memory", "mapped"]
INSTEAD = "the same command goes on; config.adapt.features=memory needs no disk"


class FeatureRows:
    """An array [..., N, D] whose rows are written in order. In a folder, it is a file without a name.

    The system frees the file with the last reference to the array, also if the process is killed.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any, folder: Path | None = None):
        self._shape, self._dtype, self._folder = shape, np.dtype(dtype), folder
        self._array = np.empty(shape, dtype) if folder is None else None
        if folder is not None:
            with writing(folder, then=INSTEAD):
                # It is open until `array` has mapped it.
                self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
                self._file.truncate(math.prod(shape) * self._dtype.itemsize)

    def write(self, first: int, rows: np.ndarray) -> None:
        """Write rows [..., b, D] from the row `first` on; those beyond the last one are padding and are dropped."""
        *_, number, dim = self._shape
        rows = rows[..., : number - first, :]
        if self._array is not None:
            self._array[..., first : first + rows.shape[-2], :] = rows
            return
        with writing(self._folder or Path(), then=INSTEAD):
            # Written and not mapped, because pages that are mapped for writing count as memory of the process.
            for place, part in enumerate(rows.reshape(-1, *rows.shape[-2:])):
                self._file.seek((place * number + first) * dim * self._dtype.itemsize)
                left = np.ascontiguousarray(part).data.cast("B")
                while left:
                    left = left[self._file.write(left) :]

    def array(self) -> np.ndarray:
        """Give the array; one in a file can only be read."""
        if self._array is not None:
            return self._array
        mapped = np.memmap(self._file, self._dtype, mode="r", shape=self._shape)
        self._file.close()
        return mapped


def features_folder(
    config: Config, frame: Frame, networks: tuple[Network, ...], workdir: Path
) -> Path | None:
    """Give the folder in whose files the features of an epoch are kept; None: they are kept in memory.

    `config.adapt.features` says it. With "auto" they are in files if they would take more than half of the free memory
    and the disk has room.

    Raises:
        ConfigError: they are to be in files, and the disk has no room for them.
    """
    place: Place = config.adapt.features
    if place == "memory" or config.adapt.epochs == 0:
        return None
    needed = features_size(config, frame, networks)
    if place == "auto" and needed <= available_memory() // 2:
        return None
    existing = next(folder for folder in (workdir.absolute(), *workdir.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(existing).free
    if needed <= free:
        return workdir
    if place == "auto":
        return None
    raise ConfigError(
        f"config.adapt.features is 'mapped': the features of an epoch take {needed / GIB:.3g} GiB, and the disk of "
        f"{workdir} has {free / GIB:.3g} GiB free; free space, choose another --workdir, or set it to memory"
    )


def features_size(config: Config, frame: Frame, networks: tuple[Network, ...]) -> int:
    """Count the bytes of the features of both domains' training triples, of all networks of a method."""
    triples = frame.num_triples.target + (frame.num_triples.source if config.adapt.protocol == "uda" else 0)
    length = frame.model.num_modalities * frame.model.dim
    return sum(triples * length * (3 + network.num_parts) * 4 for network in networks)
