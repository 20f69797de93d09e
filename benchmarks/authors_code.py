"""Call the code that authors of a method published, and compare its losses with ours in value and gradient.

The project contains none of that code: the programs `benchmarks.parity_*` take the folder of a clone.
"""

import argparse
import importlib.util
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import torch


def clone_given(description: str, repository: str) -> Path:
    """Read the folder of the clone, `--code`, from the command line."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--code", type=Path, required=True, help=f"a clone of {repository}")
    return parser.parse_args().code


def load(path: Path) -> ModuleType:
    """Import one file of a clone, without its package; end with a line if there is no such file."""
    if not path.is_file():
        sys.exit(f"--code: there is no {path}; give the folder of a clone of the authors' code")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        sys.exit(f"--code: {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def difference(theirs: Callable, ours: Callable, *arrays: np.ndarray) -> float:
    """Compute the largest difference in the value of a loss and in its gradient by each of the arrays."""
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    value = theirs(*tensors)
    slopes = torch.autograd.grad(value, tensors)
    places = tuple(range(len(arrays)))
    own, own_slopes = jax.value_and_grad(ours, argnums=places)(*map(jnp.asarray, arrays))
    apart = [float(np.abs(a.numpy() - np.asarray(b)).max()) for a, b in zip(slopes, own_slopes, strict=True)]
    return max(abs(value.item() - float(own)), *apart)


def report(comparisons: Iterable[tuple[str, float]]) -> None:
    """Print the largest and the median difference of each formula and its number of cases, in double precision."""
    torch.nn.Module.cuda = lambda self, *_: self  # some losses ask for a GPU when they are made
    torch.Tensor.cuda = lambda self, *_, **__: self
    found: dict[str, list[float]] = {}
    with jax.enable_x64(True):
        for name, apart in comparisons:
            found.setdefault(name, []).append(apart)
    for name, each in found.items():
        print(f"{name}: {max(each):.1e}, median {np.median(each):.1e}, over {len(each)} cases")
