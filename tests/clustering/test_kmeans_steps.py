"""K-means from the inside: its iterations from centres that are given, and what it needs of memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from man_jax.clustering import kmeans as subject
from tests.oracles import clustering as oracle
from tests.oracles.cases import unit_normal
from tests.traced_programs import equations, sizes

N, K, D = 23, 5, 4
NOWHERE = -np.ones(D)
"""A centre that no sample is near to: all of them lie in the positive orthant."""


def samples(seed: int) -> np.ndarray:
    """Unit vectors in the positive orthant."""
    return np.abs(unit_normal(np.random.default_rng(seed), N, D)).astype(np.float32)


def lloyd_from(centres, features, monkeypatch, **settings) -> subject.KMeansResult:
    monkeypatch.setattr(subject, "seed_centres", lambda *_, **__: jnp.asarray(centres, jnp.float32))
    subject._cluster.clear_cache()
    result = subject.kmeans(features, num_clusters=K, key=jax.random.key(0), **settings)
    return jax.tree.map(np.asarray, result)


@pytest.fixture
def no_program_is_left():
    """Programs with the centres in them would be taken for those that seed."""
    yield
    subject._cluster.clear_cache()


@pytest.mark.usefixtures("no_program_is_left")
@pytest.mark.parametrize("tolerance", [1e-9, 0.02], ids=["to the end", "stopped by the tolerance"])
@pytest.mark.parametrize("max_iterations", [1, 2, 50])
@pytest.mark.parametrize("empty", [(), (0,), (2, 3)], ids=str)
@pytest.mark.parametrize("block_size", [None, 5], ids=["at once", "in blocks"])
def test_iterations_are_those_of_lloyd_with_empty_clusters_restarted(
    block_size, empty, max_iterations, tolerance, monkeypatch
):
    features = samples(1)
    centres = features[:K].copy()
    centres[list(empty)] = NOWHERE / np.linalg.norm(NOWHERE)
    settings = {"max_iterations": max_iterations, "tolerance": tolerance}
    result = lloyd_from(centres, features, monkeypatch, block_size=block_size, **settings)
    labels, moved, inertia, iterations = oracle.lloyd(features, centres, **settings)
    np.testing.assert_array_equal(result.labels, labels)
    np.testing.assert_allclose(result.centres, moved, atol=1e-5)
    np.testing.assert_allclose(result.inertia, inertia, rtol=1e-5)
    assert result.iterations == iterations


def test_the_tolerance_stops_earlier_than_the_last_move():
    features, settings = samples(1), {"max_iterations": 50}
    counts = [
        oracle.lloyd(features, features[:K], tolerance=tolerance, **settings)[3] for tolerance in (1e-9, 0.02)
    ]
    assert 50 > counts[0] > counts[1] > 1


def test_no_array_is_larger_than_the_features_or_a_block_of_distances():
    num_samples, num_clusters, dim, block_size = 640, 64, 8, 32

    def run(features, key):
        settings = {"num_clusters": num_clusters, "num_init": 3, "block_size": block_size}
        return subject.kmeans(features, key=key, **settings)

    program = jax.make_jaxpr(run)(jax.ShapeDtypeStruct((num_samples, dim), "float32"), jax.random.key(0))
    limit = max(num_samples * dim, block_size * num_clusters)
    assert limit < num_samples * num_clusters
    assert max(sizes(program.jaxpr)) <= limit


def test_samples_are_not_copied_where_they_are_cut_into_blocks():
    num_samples, dim = 2010, 256

    def run(features, key):
        return subject.kmeans(features, num_clusters=4, key=key, block_size=100)

    shapes = (jax.ShapeDtypeStruct((num_samples, dim), "float32"), jax.random.key(0))
    scratch = jax.jit(run).lower(*shapes).compile().memory_analysis().temp_size_in_bytes
    assert scratch < 4 * num_samples * dim / 2


def test_similarities_have_the_highest_precision():
    num_samples, num_clusters, dim = 60, 5, 8

    def run(features, key):
        return subject.kmeans(features, num_clusters=num_clusters, key=key)

    program = jax.make_jaxpr(run)(jax.ShapeDtypeStruct((num_samples, dim), "float32"), jax.random.key(0))
    products = [each for each in equations(program.jaxpr) if each.primitive.name == "dot_general"]
    similarities = [each for each in products if dim not in each.outvars[0].aval.shape]
    assert len(similarities) >= 3  # to the first seed, to candidates, to centres
    assert {each.params["precision"] for each in similarities} == {(jax.lax.Precision.HIGHEST,) * 2}
