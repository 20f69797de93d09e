"""Place arrays on devices: a batch is split over all devices, everything else is copied to each device."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

DATA = "data"
AUTO = (AxisType.Auto,)
"""The type of the axis: the compiler decides how results lie where the program does not say it."""


def make_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """Make a mesh with one axis, `data`, over all devices of all hosts.

    Its axis is of type Auto, because the default, Explicit, refuses gathers and scatters. The devices are in the order
    of their processes, because `local_rows` gives each process the next slice of a batch.
    """
    devices = jax.devices() if devices is None else devices
    devices = sorted(devices, key=lambda device: (device.process_index, device.id))
    return Mesh(np.asarray(devices), (DATA,), axis_types=AUTO)


def batch_sharding(mesh: Mesh | AbstractMesh) -> NamedSharding:
    """Split the first axis over the devices."""
    return NamedSharding(mesh, PartitionSpec(DATA))


def replicated(mesh: Mesh | AbstractMesh) -> NamedSharding:
    """Keep a whole copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def put_batch(batch, mesh: Mesh):
    """Put this process's rows of a batch on its devices, as a part of the global array."""
    sharding = batch_sharding(mesh)
    return jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(sharding, np.asarray(leaf)), batch
    )


def put_replicated(tree, mesh: Mesh):
    """Copy a tree of arrays, which is equal on all processes, to every device.

    Every array gets new memory. `device_put` may share the memory of its argument, and donating the result would then
    delete the argument.
    """
    return _copier(mesh)(tree)


@cache
def _copier(mesh: Mesh) -> Callable[[Any], Any]:
    # Cached, because jitting the function again at each call would compile it again at each call.
    return jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf.copy(), tree), out_shardings=replicated(mesh))


def local_rows(num_rows: int) -> slice:
    """Give the rows of a global batch that this process loads."""
    share = num_rows // jax.process_count()
    return slice(jax.process_index() * share, (jax.process_index() + 1) * share)
