"""Host arrays for the renderer's arguments."""

from typing import cast

import numpy as np
from jax import Array
from numpy.typing import ArrayLike


def floats(values: ArrayLike) -> Array:
    """float32 on the host; typed as the JAX array that it becomes when its batch is rendered."""
    return cast(Array, np.asarray(values, np.float32))


def integers(values: ArrayLike, dtype: type[np.integer] = np.int32) -> Array:
    """As `floats`, for whole numbers."""
    return cast(Array, np.asarray(values, dtype))
