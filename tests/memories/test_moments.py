import jax
import jax.numpy as jnp
import numpy as np
import pytest

from man_jax.engine.optimizer import make_optimizer
from man_jax.memories.moments import forget_moments

PARAMS = {"kernel": jnp.arange(3.0), "scale": jnp.ones(2)}


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_the_next_update_is_that_of_a_new_optimiser_at_the_learning_rate_of_its_step(name):
    def rate(step):
        return 0.1 / (step + 1)

    optimizer = make_optimizer(name, rate, weight_decay=0.0)
    state = optimizer.init(PARAMS)
    for _ in range(4):
        _, state = optimizer.update(jax.tree.map(lambda leaf: leaf + 3.0, PARAMS), state, PARAMS)
    gradient = jax.tree.map(lambda leaf: leaf - 5.0, PARAMS)
    update, _ = optimizer.update(gradient, forget_moments(state), PARAMS)
    first, _ = optimizer.update(gradient, optimizer.init(PARAMS), PARAMS)
    for actual, new in zip(jax.tree.leaves(update), jax.tree.leaves(first), strict=True):
        np.testing.assert_allclose(actual, new / 5, rtol=1e-6)
