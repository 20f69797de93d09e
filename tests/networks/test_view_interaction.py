"""Views inform each other: those of an identity, and no others."""

from functools import partial

import jax
import numpy as np
import pytest

from man_jax.networks.view_interaction import ViewInteraction
from man_jax.networks.vit import Block
from tests.engine.tiny import QUICKLY

M, B, D = 2, 6, 4
LABELS = np.array([0, 1, 0, 2, 1, 0])
AMONG = LABELS[:, None] == LABELS[None, :]


@pytest.fixture(scope="module")
def made():
    """A network with large weights, so that attention matters, and features."""
    with jax.enable_x64(True):
        x = np.random.default_rng(0).normal(size=(M, B, D))
        network = ViewInteraction(depth=2)
        variables = jax.jit(network.init, compiler_options=QUICKLY)(jax.random.key(0), x, AMONG)
        variables = jax.tree.map(lambda leaf: 20.0 * leaf, variables)
        yield jax.jit(partial(network.apply, variables), compiler_options=QUICKLY), x


def test_a_row_s_views_are_those_that_its_identity_alone_would_give(made):
    seen, x = made
    with jax.enable_x64(True):
        found = np.asarray(seen(x, AMONG))
        for label in range(3):
            rows = label == LABELS
            alone = seen(x[:, rows], np.ones((rows.sum(), rows.sum()), bool))
            np.testing.assert_allclose(found[:, rows], alone, rtol=1e-6, atol=1e-8)


def test_the_views_of_an_identity_do_inform_each_other(made):
    seen, x = made
    other = x.copy()
    other[:, 2, 0] += 1.0  # of identity 0, as rows 0 and 5 are
    with jax.enable_x64(True):
        changed = np.abs(seen(other, AMONG) - seen(x, AMONG)).max((0, 2))
    np.testing.assert_array_equal(changed > 1e-6, LABELS == 0)


@pytest.mark.parametrize(("width", "heads"), [(128, 2), (96, 1)])
def test_a_head_has_64_numbers_where_that_divides_the_width(width, heads, monkeypatch):
    told = []
    post_init = Block.__post_init__

    def keep(block):
        told.append(block.heads)
        post_init(block)

    monkeypatch.setattr(Block, "__post_init__", keep)
    shape = jax.ShapeDtypeStruct((1, 2, width), "float32")
    jax.eval_shape(lambda x: ViewInteraction(1).init(jax.random.key(0), x, np.ones((2, 2), bool)), shape)
    assert set(told) == {heads}
