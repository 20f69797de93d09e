"""How many numbers the arrays of a traced program have."""

from collections.abc import Iterator

import numpy as np
from jax.extend.core import jaxprs_in_params


def sizes(jaxpr) -> Iterator[int]:
    """The number of elements of everything a program computes, inner programs included."""
    for equation in jaxpr.eqns:
        yield from (int(np.prod(out.aval.shape)) for out in equation.outvars if hasattr(out.aval, "shape"))
        for inner in jaxprs_in_params(equation.params):
            yield from sizes(inner)
