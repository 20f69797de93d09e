"""Operations that are counted are those of plain loops."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from man_jax.costs.arithmetic import count_flops


def flops(function, *shapes: tuple[int, ...]) -> float:
    return count_flops(jax.make_jaxpr(function)(*(jnp.zeros(shape) for shape in shapes)))


def product_by_loops(m: int, k: int, n: int) -> int:
    return sum(2 for _ in itertools.product(range(m), range(n), range(k)))


@pytest.mark.parametrize("sizes", [(3, 4, 5), (1, 7, 2)])
def test_a_product_has_two_for_each_product_that_is_added_up(sizes):
    m, k, n = sizes
    assert flops(jnp.dot, (m, k), (k, n)) == product_by_loops(m, k, n)


def test_a_product_of_stacks_counts_each_of_them():
    assert flops(jnp.matmul, (6, 3, 4), (6, 4, 5)) == 6 * product_by_loops(3, 4, 5)
    assert flops(lambda x, y: jnp.einsum("bik,bjk->bij", x, y), (6, 3, 4), (6, 5, 4)) == 6 * product_by_loops(
        3, 4, 5
    )


def convolution(x, kernel, *, stride=1, groups=1):
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


@pytest.mark.parametrize(("stride", "groups"), [(1, 1), (2, 1), (1, 4)])
def test_a_convolution_counts_every_weight_at_every_place(stride, groups):
    x, kernel = (2, 8, 6, 4), (3, 3, 4 // groups, 12)
    counted = 0
    for _ in itertools.product(range(2), range(8 // stride), range(6 // stride), range(12)):
        counted += 2 * np.prod(kernel[:3])
    assert flops(lambda x, k: convolution(x, k, stride=stride, groups=groups), x, kernel) == counted


@pytest.mark.parametrize("stride", [1, 2])
def test_the_gradients_of_a_convolution_cost_as_much_as_it_does_each(stride):
    shapes = (2, 8, 8, 4), (1, 1, 4, 12)
    forward = flops(lambda x, k: convolution(x, k, stride=stride), *shapes)
    both = flops(jax.grad(lambda x, k: (convolution(x, k, stride=stride) ** 2).sum(), (0, 1)), *shapes)
    # Of a kernel of one pixel and a stride of two, three of four places of the input's gradient are zero.
    assert both == pytest.approx(3 * forward, rel=0.02)


def test_a_loop_counts_as_often_as_it_goes_round():
    def five_times(x, w):
        return jax.lax.scan(lambda carry, _: (carry @ w, carry), x, length=5)[0]

    assert flops(five_times, (3, 4), (4, 4)) == 5 * product_by_loops(3, 4, 4)
    nested = lambda x, w: jax.lax.scan(lambda c, _: (five_times(c, w), None), x, length=2)[0]  # noqa: E731
    assert flops(nested, (3, 4), (4, 4)) == 10 * product_by_loops(3, 4, 4)


def test_what_is_inside_of_jit_checkpoint_and_custom_gradients_counts():
    @jax.custom_vjp
    def doubled(x):
        return 2 * (x @ x)

    doubled.defvjp(lambda x: (doubled(x), x), lambda x, g: (g @ x.T + x.T @ g,))
    once = product_by_loops(3, 3, 3)
    assert flops(jax.jit(doubled), (3, 3)) == once
    assert flops(jax.grad(lambda x: doubled(x).sum()), (3, 3)) == 3 * once
    # Computed in the forward pass, once more for the backward pass, and twice in it.
    assert flops(jax.grad(lambda x: jax.checkpoint(lambda y: jnp.sin(y @ y))(x).sum()), (3, 3)) == 4 * once


def test_a_choice_counts_as_its_dearest_branch_and_a_loop_without_an_end_once():
    def choose(flag, x):
        return jax.lax.cond(flag.sum() > 0, lambda y: y @ y, lambda y: y @ y @ y, x)

    assert flops(choose, (1,), (3, 3)) == 2 * product_by_loops(3, 3, 3)
    assert flops(
        lambda x: jax.lax.while_loop(lambda y: y.sum() < 1, lambda y: y @ y, x), (3, 3)
    ) == product_by_loops(3, 3, 3)


def test_what_is_computed_element_by_element_does_not_count():
    assert flops(lambda x: jnp.exp(x).sum() * 3, (100,)) == 0
