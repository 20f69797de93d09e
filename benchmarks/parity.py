"""What the comparisons with other code (benchmarks/parity_*.py) share: its modules, on a CPU, and a difference."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from unittest import mock

import numpy as np
import torch


def load_module(path: Path) -> ModuleType:
    """Import a file of the other code by its path; its folder is searched for the modules that it imports.

    Raises:
        SystemExit: there is no such file.
    """
    if not path.is_file():
        raise SystemExit(f"{path} is no file; give --code the top folder of a checkout of the authors' code")
    spec = importlib.util.spec_from_file_location(f"other_{path.stem}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    with mock.patch.object(sys, "path", [str(path.parent), *sys.path]):
        spec.loader.exec_module(module)
    return module


@contextmanager
def on_cpu() -> Iterator[None]:
    """Leave tensors where they are when code that is written for a GPU sends them there."""
    move = torch.Tensor.to

    def to(tensor, *places, **keywords):
        if places and str(places[0]).startswith("cuda"):
            return tensor
        return move(tensor, *places, **keywords)

    with (
        mock.patch.object(torch.Tensor, "cuda", lambda tensor: tensor),
        mock.patch.object(torch.Tensor, "to", to),
    ):
        yield


def relative(mine: np.ndarray, other: np.ndarray) -> float:
    """Compute the largest difference over the other's largest number."""
    return float(np.max(np.abs(mine - other)) / max(float(np.max(np.abs(other))), 1e-12))
