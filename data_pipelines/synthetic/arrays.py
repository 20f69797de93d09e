"""Make host arrays for the renderer's arguments."""

from typing import cast

import numpy as np
from jax import Array
from numpy.typing import ArrayLike


def floats(values: ArrayLike) -> Array:
    """Make a float32 array on the host; its type is that of the JAX array that it becomes when it is rendered."""
    return cast(Array, np.asarray(values, np.float32))


def integers(values: ArrayLike, dtype: type[np.integer] = np.int32) -> Array:
    """Make an array of whole numbers, as `floats` does for float32."""
    return cast(Array, np.asarray(values, dtype))
