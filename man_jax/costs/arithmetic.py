"""Count the floating point operations of a program as it was traced, with the rounds of its loops."""

import math
from collections.abc import Iterator
from typing import Any

from jax.extend.core import ClosedJaxpr, Jaxpr


def count_flops(program: Jaxpr | ClosedJaxpr) -> float:
    """Count the operations of all matrix products and convolutions: two for each product that is added up.

    A `scan` counts as often as it goes round; a `while`, whose rounds nobody knows, once; a `cond` as its dearest
    branch. Zeros that a convolution puts between the rows of its input do not count. What is computed element by
    element does not count either, because memory and not arithmetic bounds it.
    """
    jaxpr = program.jaxpr if isinstance(program, ClosedJaxpr) else program
    return math.fsum(_flops(equation) for equation in jaxpr.eqns)


def _flops(equation: Any) -> float:
    name, parameters = equation.primitive.name, equation.params
    if name == "dot_general":
        return _of_product(equation)
    if name == "conv_general_dilated":
        return _of_convolution(equation)
    if name == "scan":
        return parameters["length"] * count_flops(parameters["jaxpr"])
    if name == "cond":
        return max(map(count_flops, parameters["branches"]))
    return math.fsum(map(count_flops, _inner(parameters)))


def _of_product(equation: Any) -> float:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[axis] for axis in contracted)


def _of_convolution(equation: Any) -> float:
    numbers = equation.params["dimension_numbers"]
    kernel = equation.invars[1].aval.shape
    summed = math.prod(kernel[axis] for axis in numbers.rhs_spec[1:])  # without that of the output's features
    zeros = math.prod(equation.params["lhs_dilation"])
    return 2.0 * math.prod(equation.outvars[0].aval.shape) * summed / zeros


def _inner(parameters: dict[str, Any]) -> Iterator[Jaxpr | ClosedJaxpr]:
    for value in parameters.values():
        for each in value if isinstance(value, list | tuple) else (value,):
            if isinstance(each, Jaxpr | ClosedJaxpr):
                yield each
