"""Say how the large arrays of a run lie on the devices: whole on each of them, or divided among them by their rows.

A program never names a device. It says how an array shall lie, and the compiler adds what the devices exchange.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

AnyMesh = Mesh | AbstractMesh
"""The second is one whose devices are not there, for shapes and traces."""
Places = Mapping[str, int]
"""Patterns of places in a tree of arrays, such as "slots.*.features", and the axis of each that is divided."""


class Layout(NamedTuple):
    """How large arrays lie. Without a mesh they are whole on every device, and nothing is moved."""

    mesh: AnyMesh | None = None
    """A mesh of one axis; rows are divided among its devices."""
    block: int = 1024
    """How many rows are compared at a time; those of a divided array may then be whole on every device."""

    @property
    def is_divided(self) -> bool:
        """Whether large arrays are divided."""
        return self.mesh is not None

    @property
    def num_parts(self) -> int:
        """The number of parts into which rows are divided; 1 if they are whole."""
        return 1 if self.mesh is None else self.mesh.size

    def padded(self, num_rows: int) -> int:
        """Give the least multiple of the number of parts that has room for so many rows."""
        return -(-num_rows // self.num_parts) * self.num_parts

    def divided(self, x: Array, axis: int = 0) -> Array:
        """Split an axis of an array among the devices; an axis that they do not divide stays whole."""
        if self.mesh is None or x.shape[axis] % self.num_parts:
            return x
        return jax.lax.with_sharding_constraint(x, axis_sharding(self.mesh, x.ndim, axis))

    def everywhere(self, x: Array) -> Array:
        """Make a small array whole on every device."""
        if self.mesh is None:
            return x
        return jax.lax.with_sharding_constraint(x, NamedSharding(self.mesh, PartitionSpec()))

    def put_rows(self, rows: Array | np.ndarray) -> Any:
        """Put rows of the host, which every process has, on the devices, divided, with zeros at the end if need be.

        Each device's rows are read by themselves, so they may be in a mapped file that is larger than the memory.
        """
        if self.mesh is None:
            return jnp.asarray(rows)
        num_rows = self.padded(len(rows))

        def of_device(index: Any) -> np.ndarray:
            start, stop, _ = index[0].indices(num_rows)
            found = np.asarray(rows[start:stop])
            missing = stop - start - len(found)
            return np.pad(found, [(0, missing)] + [(0, 0)] * (rows.ndim - 1)) if missing else found

        sharding = axis_sharding(self.mesh, rows.ndim, 0)
        return jax.make_array_from_callback((num_rows, *rows.shape[1:]), sharding, of_device)

    def blocks(self, x: Array) -> Array:
        """Cut rows [N, ...] into blocks [T, n, b, ...] of n parts, each divided among the devices; the rest is zeros.

        A block that is made whole has at most `block` rows, or one of each part.
        """
        num_rows = self.padded(x.shape[0]) // self.num_parts
        of_part = min(num_rows, max(1, self.block // self.num_parts))
        num_blocks = -(-num_rows // of_part)
        parts = self.divided(extended(x, self.num_parts * num_rows)).reshape(
            self.num_parts, num_rows, *x.shape[1:]
        )
        padding = [(0, 0), (0, num_blocks * of_part - num_rows)] + [(0, 0)] * (x.ndim - 1)
        cut = jnp.pad(parts, padding).reshape(self.num_parts, num_blocks, of_part, *x.shape[1:])
        return self.divided(jnp.moveaxis(cut, 1, 0), axis=1)


WHOLE = Layout()
"""Every array is whole on every device."""


def axis_sharding(mesh: AnyMesh, ndim: int, axis: int) -> NamedSharding:
    """Split one axis of an array over a mesh of one axis."""
    # Without names of later axes, as JAX writes the layout of results, so that a result is no other argument.
    return NamedSharding(mesh, PartitionSpec(*[None] * (axis % ndim), mesh.axis_names[0]))


def extended(x: Array, num_rows: int, fill: Any = 0) -> Array:
    """Add rows of `fill` until there are `num_rows`; an array that has so many is returned as it is."""
    if x.shape[0] == num_rows:
        return x
    padding = [(0, num_rows - x.shape[0])] + [(0, 0)] * (x.ndim - 1)
    return jnp.pad(x, padding, constant_values=fill)


def divided_axis(path: Any, places: Places) -> int | None:
    """Find the axis that is divided of the array at a place of a tree; None: it stays whole."""
    name = place_name(path)
    return next((axis for pattern, axis in places.items() if fnmatchcase(name, pattern)), None)


def place_name(path: Any) -> str:
    """Write the place of an array in a tree as names joined by dots."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


def tree_shardings(tree: Any, mesh: AnyMesh, places: Places) -> Any:
    """Say how each array of a tree lies. An axis that the devices do not divide evenly stays whole."""

    def of_leaf(path: Any, leaf: Any) -> NamedSharding:
        axis = divided_axis(path, places)
        if axis is None or leaf.shape[axis] % mesh.size:
            return NamedSharding(mesh, PartitionSpec())
        return axis_sharding(mesh, len(leaf.shape), axis)

    return jax.tree_util.tree_map_with_path(of_leaf, tree)


def laid_out(tree: Any, mesh: AnyMesh, places: Places) -> Any:
    """Say inside a program how each array of a tree lies; without places nothing is said."""
    if not places:
        return tree
    return jax.tree.map(jax.lax.with_sharding_constraint, tree, tree_shardings(tree, mesh, places))


def put_laid_out(tree: Any, mesh: AnyMesh, places: Places) -> Any:
    """Copy a tree of arrays, which is equal on all processes, to the devices; every array gets new memory."""
    return _copier(mesh, tuple(places.items()))(tree)


@cache
def _copier(mesh: AnyMesh, places: tuple[tuple[str, int], ...]) -> Any:
    def copy(tree):
        copied = jax.tree.map(lambda leaf: leaf.copy(), tree)
        return jax.tree.map(
            jax.lax.with_sharding_constraint, copied, tree_shardings(copied, mesh, dict(places))
        )

    return jax.jit(copy)
