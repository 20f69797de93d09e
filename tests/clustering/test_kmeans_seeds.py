"""The seeding of K-means: its draws, its greedy choice, and how good it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.cluster import kmeans_plusplus

from man_jax.clustering import kmeans_seeds as subject
from man_jax.clustering.kmeans import kmeans
from man_jax.layout import WHOLE
from tests.oracles import clustering as oracle
from tests.oracles.cases import unit_groups, unit_normal
from tests.traced_programs import sizes


@pytest.mark.parametrize("num_clusters", [1, 2, 7, 13, 40])
@pytest.mark.parametrize("padding", [0, 3])
def test_each_seed_is_the_candidate_of_its_round_that_leaves_least(num_clusters, padding, monkeypatch):
    """The candidates are set, so that loops can follow."""
    num_samples, dim, at_once, of_one = 60, 40, 4, 2 + int(np.log(num_clusters))
    rng = np.random.default_rng(num_clusters)
    features = unit_normal(rng, num_samples, dim).astype(np.float32)
    rounds = np.array([rng.permutation(num_samples)[: at_once * of_one] for _ in range(10)])
    number = iter(range(10))
    monkeypatch.setattr(subject, "SEEDS_AT_ONCE", at_once)
    monkeypatch.setattr(
        subject,
        "draw_without_replacement",
        lambda *_: jnp.asarray(rounds[next(number)]),
    )
    with jax.disable_jit():  # so that each round asks for its draws
        found = subject.seed_centres(
            jnp.pad(features, ((0, padding), (0, 0))),
            jnp.arange(num_samples + padding) < num_samples,
            jax.random.key(0),
            num_samples=num_samples,
            num_clusters=num_clusters,
            layout=WHOLE,
        )
    first = int(np.argmax(features @ np.asarray(found[0])))
    np.testing.assert_allclose(
        found, oracle.greedy_seeds(features, first, rounds, num_clusters, at_once), atol=1e-6
    )


def test_samples_are_drawn_in_proportion_to_their_weights():
    weights = jnp.array([1.0, 0.0, 2.0, 5.0, 0.0])
    keys = jax.random.split(jax.random.key(1), 4000)
    drawn = jax.vmap(lambda key: subject.draw_without_replacement(weights, key, 5, 2, WHOLE))(keys)
    first, second = np.asarray(drawn).T
    np.testing.assert_allclose(np.bincount(first, minlength=5) / 4000, [1 / 8, 0, 2 / 8, 5 / 8, 0], atol=0.03)
    # After sample 3, which has gone, samples 0 and 2 are left with the weights 1 and 2.
    np.testing.assert_allclose(
        np.bincount(second[first == 3], minlength=5)[[0, 2]] / (first == 3).sum(), [1 / 3, 2 / 3], atol=0.03
    )
    assert (first != second).all()


def test_samples_without_weight_come_last_and_padding_is_not_drawn():
    weights = jnp.array([0.0, 3.0, 0.0, 1.0, 0.0, 0.0])
    for seed in range(5):
        drawn = subject.draw_without_replacement(weights, jax.random.key(seed), 4, 4, WHOLE)
        assert (set(drawn[:2].tolist()), set(drawn[2:].tolist())) == ({1, 3}, {0, 2})


def test_padding_is_no_seed_though_it_is_nearer_than_an_opposite_sample():
    """A row of zeros is at distance 1 from all; opposite samples are at distance 2."""
    direction = unit_normal(np.random.default_rng(2), 1, 16)
    rows = np.concatenate([direction, direction, -direction, -direction, np.zeros((4, 16))]).astype(
        np.float32
    )
    for seed in range(5):
        found = subject.seed_centres(
            jnp.asarray(rows),
            jnp.arange(8) < 4,
            jax.random.key(seed),
            num_samples=4,
            num_clusters=3,
            layout=WHOLE,
        )
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_seeding_is_as_good_as_scikit_learns_greedy_one():
    rng = np.random.default_rng(5)
    truth = np.repeat(np.arange(6), 20)
    features = unit_groups(rng, 6, 120, 8, spread=0.2)[truth, np.arange(120)].astype(np.float32)

    def left_over(seed: int) -> float:
        centres, _ = kmeans_plusplus(features, 6, random_state=seed)
        return float(np.sum(1 - np.max(features @ centres.T, axis=1)))

    def seeded(seed: int) -> float:
        key = jax.random.key(seed)
        return float(kmeans(features, num_clusters=6, key=key, max_iterations=0).inertia)

    # One candidate a centre, instead of the best of a few, would be a fifth worse.
    assert np.mean([seeded(seed) for seed in range(40)]) <= 1.05 * np.mean([left_over(s) for s in range(40)])


def test_candidates_never_take_more_memory_than_the_samples():
    """Of samples of few dimensions, a round has fewer seeds."""
    features = jnp.asarray(unit_normal(np.random.default_rng(3), 500, 8).astype(np.float32))
    settings = {"num_samples": 500, "num_clusters": 50, "layout": WHOLE}
    program = jax.make_jaxpr(lambda x, key: subject.seed_centres(x, jnp.ones(500, bool), key, **settings))
    assert max(sizes(program(features, jax.random.key(0)).jaxpr)) <= 500 * 8
