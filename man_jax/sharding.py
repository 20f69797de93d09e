"""Where arrays live: batches split over the `data` axis of a mesh of all devices, all else on every device."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

DATA = "data"


def make_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """One axis over all devices of all hosts. Auto axes: the default, Explicit, refuses gathers and scatters.

    Devices are in the order of their processes, since `local_rows` gives each process the next slice of a batch.
    """
    devices = jax.devices() if devices is None else devices
    devices = sorted(devices, key=lambda device: (device.process_index, device.id))
    return Mesh(np.asarray(devices), (DATA,), axis_types=(AxisType.Auto,))


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The first axis split over the devices."""
    return NamedSharding(mesh, PartitionSpec(DATA))


def replicated(mesh: Mesh) -> NamedSharding:
    """A whole copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def put_batch(batch, mesh: Mesh):
    """This process's share of a batch, as a part of the global array."""
    sharding = batch_sharding(mesh)
    return jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(sharding, np.asarray(leaf)), batch
    )


def put_replicated(tree, mesh: Mesh):
    """A tree of arrays, equal on all processes, on every device, in memory of its own.

    Every leaf is copied: `device_put` may alias its argument, and donating the alias would delete it.
    """
    return _copier(mesh)(tree)


@cache
def _copier(mesh: Mesh) -> Callable[[Any], Any]:
    # Kept: a function jitted anew at each call is compiled anew at each call.
    return jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf.copy(), tree), out_shardings=replicated(mesh))


def local_rows(num_rows: int) -> slice:
    """The rows of a global batch which this process loads."""
    share = num_rows // jax.process_count()
    return slice(jax.process_index() * share, (jax.process_index() + 1) * share)
