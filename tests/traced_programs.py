"""What a traced program computes, and how many numbers its arrays have."""

from collections.abc import Iterator

import numpy as np
from jax.extend.core import JaxprEqn, jaxprs_in_params


def equations(jaxpr) -> Iterator[JaxprEqn]:
    """All equations of a program, those of inner programs included."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from equations(inner)


def sizes(jaxpr) -> Iterator[int]:
    """The number of elements of everything a program computes."""
    for equation in equations(jaxpr):
        yield from (int(np.prod(out.aval.shape)) for out in equation.outvars if hasattr(out.aval, "shape"))
