"""Read the pickle in a PyTorch checkpoint without PyTorch, and without running the code that a pickle may name.

The pickle holds nested dictionaries, in which each tensor is a reference to a storage; here it becomes a record of that
reference. Only names that a state dictionary needs are known, and names of what trainers save beside it, which become
`Inert`. Any other name is refused.
"""

import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from man_jax.networks.pretrained.errors import WeightsError

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
UNREAD = {
    "Complex": "complex",
    "Q": "quantised",
    "_rebuild_qtensor": "quantised",
    "_rebuild_sparse": "sparse",
    "_rebuild_tensor_v3": "float8 or unsigned",
}
"""The beginnings of names that stand for tensors of a kind that is not read, with the name of the kind."""


class Tensor(NamedTuple):
    """The place of a tensor in its storage; sizes and strides count elements, as PyTorch's do."""

    key: str
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Inert:
    """A stand-in for an object that is no state dictionary: a scripted module, a training script's arguments."""

    def __new__(cls, *_args: Any, **_keywords: Any) -> "Inert":
        """Take whatever the pickle gives."""
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Keep a module's attributes, among which its tensors are."""
        self.__dict__["held"] = state if isinstance(state, dict) else {}

    def __setitem__(self, _key: Any, _value: Any) -> None:
        """Forget what a dictionary with defaults holds."""


def unpickle(stream: IO[bytes], path: Path) -> Any:
    """Read the next pickle of a stream.

    Raises:
        WeightsError: it is damaged, or asks for a name that is not known.
    """
    try:
        return _Unpickler(stream, path).load()
    except WeightsError:
        raise
    except Exception as error:  # a damaged pickle may raise anything
        raise WeightsError(
            f"{path}: its pickle cannot be read ({type(error).__name__}: {error}); the file is damaged or was not "
            f"written by torch.save: copy or download it again"
        ) from None


def tensors_in(content: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield (dotted name, tensor) of all that nested dictionaries and scripted modules hold.

    A dictionary that is in several places, or in itself, is read once.
    """
    return _tensors(content, "", set())


def _tensors(content: Any, prefix: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    if isinstance(content, Tensor):
        yield prefix, content
    elif isinstance(content, dict | Inert) and id(content) not in seen:
        seen.add(id(content))
        held = content if isinstance(content, dict) else content.__dict__.get("held", {})
        for name, value in held.items():
            yield from _tensors(value, f"{prefix}.{name}" if prefix else str(name), seen)


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
        sort = next((sort for start, sort in UNREAD.items() if name.startswith(start)), None)
        if module.split(".")[0] == "torch" and sort:
            raise WeightsError(
                f"{self.path} holds {sort} tensors ({module}.{name}), which are not read here; save the network's "
                f"weights as float32"
            )
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


_BESIDE = {
    "torch": ("device", "float64", "float32", "float16", "bfloat16", "int64", "int32", "uint8", "bool"),
    "argparse": ("Namespace",),
    "collections": ("Counter", "defaultdict"),
    "builtins": ("dict", "list", "int", "float"),
    "__builtin__": ("dict", "list", "int", "float"),
    "datetime": ("datetime", "timedelta"),
    "pathlib": ("Path", "PosixPath", "WindowsPath"),
    "pathlib._local": ("Path", "PosixPath", "WindowsPath"),
    "numpy": ("dtype",),
    "numpy.core.multiarray": ("scalar",),
    "numpy._core.multiarray": ("scalar",),
    "_codecs": ("encode",),
}
"""What trainers save beside the weights: arguments, a schedule's milestones, a metric in NumPy's type."""

_KNOWN: dict[tuple[str, str], Callable] = {
    **{(module, name): Inert for module, names in _BESIDE.items() for name in names},
    ("collections", "OrderedDict"): OrderedDict,  # not dict: a state_dict has an attribute, `_metadata`
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter,
    ("torch", "Size"): tuple,
}
