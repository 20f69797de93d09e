"""Say how the state of a run lies on the devices: whole on each, but for what its method divides among them."""

from typing import Any

from jax.sharding import Mesh

from man_jax.config import Config
from man_jax.frame import Frame
from man_jax.layout import WHOLE, AnyMesh, Layout, Places, put_laid_out
from man_jax.sharding import put_replicated


def memory_layout(method: Any, config: Config, mesh: AnyMesh) -> Layout:
    """Say how the large arrays of a method lie on the devices of a mesh; one that cannot divide has no `is_sharded`."""
    return Layout(mesh) if hasattr(method, "is_sharded") and method.is_sharded(config) else WHOLE


def sharded_places(method: Any, frame: Frame) -> Places:
    """Give the places in the state of the arrays that are divided among the devices."""
    return method.SHARDED if hasattr(method, "SHARDED") and frame.layout.is_divided else {}


def place_state(method: Any, frame: Frame, state: Any, mesh: Mesh) -> Any:
    """Copy a state to the devices; every array gets new memory, as in `put_replicated`."""
    places = sharded_places(method, frame)
    return put_laid_out(state, mesh, places) if places else put_replicated(state, mesh)
