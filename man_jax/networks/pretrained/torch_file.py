"""Read PyTorch's files without PyTorch: find the pickle and the storages to which it refers."""

import math
import zipfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from man_jax.networks.pretrained.errors import WeightsError
from man_jax.networks.pretrained.torch_pickle import Tensor, tensors_in, unpickle

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LARGEST_EXPANSION = 2**24
"""A tensor may repeat the numbers of its storage up to this size, so that a small file cannot fill the memory."""


def read_torch_zip(path: Path) -> dict[str, np.ndarray]:
    """Read every tensor of a file of `torch.save` (PyTorch 1.6 or newer) or `torch.jit.save`, by its dotted name."""
    with zipfile.ZipFile(path) as archive:
        root = next(name for name in archive.namelist() if name.endswith("data.pkl"))[: -len("data.pkl")]
        names = set(archive.namelist())
        order = archive.read(f"{root}byteorder") if f"{root}byteorder" in names else b"little"
        with archive.open(f"{root}data.pkl") as stream:
            content = unpickle(stream, path)

        @lru_cache(maxsize=1)  # many tensors may be views of one storage
        def storage(key: str) -> bytes:
            if f"{root}data/{key}" not in names:
                raise WeightsError(f"{path}: storage {key} is missing; copy or download the file again")
            return archive.read(f"{root}data/{key}")

        return _materialise(content, storage, path, swapped=order == b"big")


def read_torch_legacy(path: Path) -> dict[str, np.ndarray]:
    """Read every tensor of a file of PyTorch before 1.6: four pickles, a list of storages, their bytes."""
    with path.open("rb") as stream:
        if unpickle(stream, path) != LEGACY_MAGIC:
            raise WeightsError(f"{path} is a pickle, but none that torch.save wrote; save a state_dict")
        for _ in ("protocol", "machine that wrote it"):
            unpickle(stream, path)
        content = unpickle(stream, path)
        itemsizes = {tensor.key: tensor.dtype.itemsize for _, tensor in tensors_in(content)}
        storages = {}
        for key in unpickle(stream, path):
            count = int.from_bytes(stream.read(8), "little")
            if key not in itemsizes:
                raise WeightsError(f"{path}: storage {key} belongs to no tensor; save the state_dict again")
            storages[key] = stream.read(count * itemsizes[key])
    return _materialise(content, lambda key: storages.get(key, b""), path)


def _materialise(
    content: Any, storage: Callable[[str], bytes], path: Path, *, swapped: bool = False
) -> dict[str, np.ndarray]:
    arrays = {}
    for name, tensor in tensors_in(content):
        data, dtype = storage(tensor.key), tensor.dtype.newbyteorder() if swapped else tensor.dtype
        _check_view(name, tensor, len(data), path)
        flat = np.frombuffer(data, dtype, count=len(data) // dtype.itemsize)[tensor.offset :]
        strides = [step * dtype.itemsize for step in tensor.strides]
        empty = 0 in tensor.shape
        view = (
            np.zeros(tensor.shape) if empty else np.lib.stride_tricks.as_strided(flat, tensor.shape, strides)
        )
        arrays[name] = np.array(view, tensor.dtype)
    return arrays


def _check_view(name: str, tensor: Tensor, held: int, path: Path) -> None:
    """Check that a tensor stays within the `held` bytes of its storage."""
    if len(tensor.shape) != len(tensor.strides) or min([tensor.offset, *tensor.shape, *tensor.strides]) < 0:
        raise WeightsError(
            f"{path}: {name} is no view of a storage (offset {tensor.offset}, sizes {list(tensor.shape)}, strides "
            f"{list(tensor.strides)}); torch.save does not write that: download the file again"
        )
    if 0 in tensor.shape:
        return
    last = tensor.offset + sum(
        (size - 1) * step for size, step in zip(tensor.shape, tensor.strides, strict=True)
    )
    if (last + 1) * tensor.dtype.itemsize > held:
        raise WeightsError(
            f"{path}: {name} {list(tensor.shape)} reaches beyond the {held} bytes of its storage; the file is "
            f"truncated: copy or download it again"
        )
    numbers = math.prod(tensor.shape)
    if numbers > max(held // tensor.dtype.itemsize, LARGEST_EXPANSION):
        raise WeightsError(
            f"{path}: {name} {list(tensor.shape)} would repeat the {held} bytes of its storage to {numbers} numbers; "
            f"save it after .contiguous() if that is meant"
        )
