"""PyTorch's files without PyTorch, and without running what a pickle asks to be run.

A checkpoint is a pickle of nested dictionaries in which each tensor is a reference to a storage. Here the pickle
yields records of what it refers to, and only names that a state dictionary needs are known; any other is refused.
"""

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from man_jax.networks.pretrained.errors import WeightsError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": jnp.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


class Tensor(NamedTuple):
    """Where a tensor lies: sizes and strides count elements, as PyTorch's do."""

    key: str
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Inert:
    """Stands for an object that is no state dictionary: a scripted module, a training script's arguments."""

    def __new__(cls, *_args: Any, **_keywords: Any) -> "Inert":
        """Take whatever the pickle gives."""
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Keep a module's attributes, among which its tensors are."""
        self.__dict__["held"] = state if isinstance(state, dict) else {}


def read_torch_zip(path: Path) -> dict[str, np.ndarray]:
    """Every tensor of a file of `torch.save` (PyTorch 1.6 or newer) or `torch.jit.save`, by its dotted name."""
    with zipfile.ZipFile(path) as archive:
        root = next(name for name in archive.namelist() if name.endswith("data.pkl"))[: -len("data.pkl")]
        names = set(archive.namelist())
        order = archive.read(f"{root}byteorder") if f"{root}byteorder" in names else b"little"
        with archive.open(f"{root}data.pkl") as stream:
            content = _unpickle(stream, path)

        @lru_cache(maxsize=1)  # many tensors may be views of one storage
        def storage(key: str) -> bytes:
            if f"{root}data/{key}" not in names:
                raise WeightsError(f"{path}: storage {key} is missing; copy or download the file again")
            return archive.read(f"{root}data/{key}")

        return _materialise(content, storage, path, swapped=order == b"big")


def read_torch_legacy(path: Path) -> dict[str, np.ndarray]:
    """Every tensor of a file of PyTorch before 1.6: four pickles, a list of storages, their bytes."""
    with path.open("rb") as stream:
        if _unpickle(stream, path) != LEGACY_MAGIC:
            raise WeightsError(f"{path} is a pickle, but none that torch.save wrote; save a state_dict")
        for _ in ("protocol", "machine that wrote it"):
            _unpickle(stream, path)
        content = _unpickle(stream, path)
        itemsizes = {tensor.key: tensor.dtype.itemsize for _, tensor in _tensors(content)}
        storages = {}
        for key in _unpickle(stream, path):
            count = int.from_bytes(stream.read(8), "little")
            if key not in itemsizes:
                raise WeightsError(f"{path}: storage {key} belongs to no tensor; save the state_dict again")
            storages[key] = stream.read(count * itemsizes[key])
    return _materialise(content, lambda key: storages.get(key, b""), path)


def _unpickle(stream: IO[bytes], path: Path) -> Any:
    try:
        return _Unpickler(stream, path).load()
    except WeightsError:
        raise
    except Exception as error:  # a damaged pickle may raise anything
        raise WeightsError(
            f"{path}: its pickle cannot be read ({type(error).__name__}: {error}); the file is damaged or was not "
            f"written by torch.save: copy or download it again"
        ) from None


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: IO[bytes], path: Path):
        super().__init__(stream)
        self.path = path

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in STORAGES:
            return np.dtype(STORAGES[name])
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        if module.split(".")[0] == "__torch__":  # the modules of a TorchScript archive
            return Inert
        raise WeightsError(
            f"{self.path}: its pickle asks for {module}.{name}, which no state_dict needs and which is not run "
            f"here; save the state_dict alone, as .safetensors or by torch.save(model.state_dict(), ...)"
        )

    def persistent_load(self, pid: Any) -> tuple[str, np.dtype]:
        kind, dtype, key = pid[:3]
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise WeightsError(f"{self.path}: refers to {pid[:3]!r}, which is no storage of numbers")
        return str(key), dtype


def _rebuild_tensor(storage: tuple[str, np.dtype], offset: int, size: Any, strides: Any, *_: Any) -> Tensor:
    return Tensor(*storage, int(offset), tuple(map(int, size)), tuple(map(int, strides)))


def _rebuild_parameter(tensor: Tensor, *_: Any) -> Tensor:
    return tensor


_KNOWN: dict[tuple[str, str], Callable] = {
    ("collections", "OrderedDict"): OrderedDict,  # not dict: a state_dict has an attribute, `_metadata`
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch", "Size"): tuple,
    ("argparse", "Namespace"): Inert,
}


def _tensors(content: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """(dotted name, tensor) of all that nested dictionaries and scripted modules hold."""
    if isinstance(content, Tensor):
        yield prefix, content
    elif isinstance(content, dict | Inert):
        held = content if isinstance(content, dict) else content.__dict__.get("held", {})
        for name, value in held.items():
            yield from _tensors(value, f"{prefix}.{name}" if prefix else str(name))


def _materialise(
    content: Any, storage: Callable[[str], bytes], path: Path, *, swapped: bool = False
) -> dict[str, np.ndarray]:
    arrays = {}
    for name, tensor in _tensors(content):
        data, dtype = storage(tensor.key), tensor.dtype.newbyteorder() if swapped else tensor.dtype
        steps = [(size - 1) * step for size, step in zip(tensor.shape, tensor.strides, strict=True)]
        last = tensor.offset + sum(steps)
        empty = 0 in tensor.shape
        if min([tensor.offset, *tensor.shape, *tensor.strides]) < 0 or (
            not empty and (last + 1) * dtype.itemsize > len(data)
        ):
            raise WeightsError(
                f"{path}: {name} {list(tensor.shape)} reaches beyond the {len(data)} bytes of its storage; the file "
                f"is truncated: copy or download it again"
            )
        flat = np.frombuffer(data, dtype, count=len(data) // dtype.itemsize)[tensor.offset :]
        strides = [step * dtype.itemsize for step in tensor.strides]
        view = (
            np.zeros(tensor.shape) if empty else np.lib.stride_tricks.as_strided(flat, tensor.shape, strides)
        )
        arrays[name] = np.array(view, tensor.dtype)
    return arrays
