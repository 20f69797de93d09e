"""Run a function of the package compiled, in single or double precision, and compare it with its oracle."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest


class Precision(NamedTuple):
    """A floating-point type and how far from an oracle a result in it may be."""

    dtype: str
    rtol: float
    atol: float

    def __str__(self) -> str:
        return self.dtype


SINGLE = Precision("float32", rtol=1e-4, atol=1e-5)
DOUBLE = Precision("float64", rtol=1e-8, atol=1e-9)

both_precisions = pytest.mark.parametrize("precision", [SINGLE, DOUBLE], ids=str)


def evaluate(function: Callable, *arrays: Any, precision: Precision = DOUBLE, **keywords: Any) -> Any:
    """function(*arrays, **keywords) as NumPy arrays.

    Keywords that are arrays are traced like the positional ones, the others are compile-time constants. The
    compiled function is kept, so examples of one shape cost one compilation.
    """
    return _run(None, function, arrays, precision, keywords)


def gradient(
    function: Callable,
    *arrays: Any,
    by: int | tuple[int, ...] = 0,
    precision: Precision = DOUBLE,
    **keywords: Any,
) -> Any:
    """The gradient with respect to the positional arrays `by`; results that are not scalars are summed."""
    return _run(by, function, arrays, precision, keywords)


def assert_close(actual: Any, expected: Any, precision: Precision = DOUBLE) -> None:
    np.testing.assert_allclose(actual, expected, rtol=precision.rtol, atol=precision.atol)


def assert_slope(actual: np.ndarray, differences: np.ndarray) -> None:
    """A gradient against central differences, whose own error is about 1e-9 of the function's size."""
    np.testing.assert_allclose(actual, differences, rtol=1e-5, atol=1e-7)


def _run(
    by: int | tuple[int, ...] | None, function: Callable, arrays: tuple, precision: Precision, keywords: dict
) -> Any:
    traced = {name: value for name, value in keywords.items() if isinstance(value, np.ndarray)}
    fixed = tuple(sorted((name, value) for name, value in keywords.items() if name not in traced))
    with jax.enable_x64(precision is DOUBLE):
        arrays, traced = jax.tree.map(lambda leaf: _cast(leaf, precision), (arrays, traced))
        return jax.tree.map(np.asarray, _compiled(function, fixed, by)(*arrays, **traced))


def _cast(leaf: Any, precision: Precision) -> jax.Array:
    leaf = np.asarray(leaf)
    if leaf.dtype.kind == "f":
        return jnp.asarray(leaf, precision.dtype)
    return jnp.asarray(leaf, "int32" if leaf.dtype.kind == "i" else leaf.dtype)


# The inputs are tiny and the programs many: what takes time is compiling them, so do it with little effort.
_QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@cache
def _compiled(function: Callable, fixed: tuple, by: int | tuple[int, ...] | None) -> Callable:
    def call(*arrays: jax.Array, **traced: jax.Array) -> Any:
        return function(*arrays, **traced, **dict(fixed))

    def total(*arrays: jax.Array, **traced: jax.Array) -> jax.Array:
        return sum((jnp.sum(leaf) for leaf in jax.tree.leaves(call(*arrays, **traced))), start=jnp.zeros(()))

    return jax.jit(call if by is None else jax.grad(total, argnums=by), compiler_options=_QUICKLY)
