import itertools

import jax
import numpy as np
import pytest
from sklearn.cluster import KMeans

from man_jax.clustering.kmeans import KMeansResult, kmeans
from man_jax.clustering.pseudo_labels import clustering_accuracy as accuracy
from tests.oracles.cases import unit_groups, unit_normal
from tests.oracles.geometry import cosine, mean, unit
from tests.oracles.pseudo_labels import clustering_accuracy

N, K, D = 120, 6, 8


def blobs(seed: int, spread: float, *, sizes: list[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around K directions, shuffled, and the direction each belongs to."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(K), sizes or [N // K] * K))
    groups = unit_groups(rng, K, N, D, spread=spread)
    return groups[truth, np.arange(N)].astype(np.float32), truth


def clustered(features, *, num_clusters: int = K, seed: int = 0, **settings) -> KMeansResult:
    result = kmeans(features, num_clusters=num_clusters, key=jax.random.key(seed), **settings)
    return jax.tree.map(np.asarray, result)


def scikit_learns(features, *, num_init: int, seed: int) -> np.ndarray:
    return KMeans(K).set_params(n_init=num_init, random_state=seed).fit_predict(features)


def inertia_of(features, labels) -> float:
    """Σ (1 − cos) of samples and the unit mean of their cluster, by loops."""
    total = 0.0
    for label in set(labels.tolist()):
        members = features[labels == label].astype(np.float64)
        centre = mean(members)
        total += sum(1 - cosine(member, centre) for member in members)
    return total


@pytest.mark.parametrize("seed", range(3))
def test_well_separated_clusters_are_recovered(seed):
    features = np.concatenate([np.eye(K, D)] * (N // K)) + 0.05 * np.random.default_rng(seed).normal(
        size=(N, D)
    )
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    truth = np.tile(np.arange(K), N // K)
    assert clustering_accuracy(clustered(features, seed=seed).labels, truth) == 1.0


def test_clusters_of_very_different_sizes_are_recovered():
    rng = np.random.default_rng(4)
    truth = rng.permutation(np.repeat(np.arange(K), [2, 3, 5, 10, 20, 80]))
    features = np.eye(K, D)[truth] + 0.05 * rng.normal(size=(N, D))
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    assert clustering_accuracy(clustered(features, num_init=4).labels, truth) == 1.0


@pytest.mark.parametrize("spread", [0.2, 0.35, 0.8], ids=["tight", "touching", "overlapping"])
@pytest.mark.parametrize("seed", range(3))
def test_inertia_is_as_low_as_scikit_learns(seed, spread):
    features, _ = blobs(seed, spread)
    peer = scikit_learns(features, num_init=4, seed=seed)
    ours = clustered(features, num_init=4, seed=seed)
    assert inertia_of(features, ours.labels) <= 1.02 * inertia_of(features, peer)


@pytest.mark.parametrize("spread", [0.2, 0.35], ids=["tight", "touching"])
@pytest.mark.parametrize("seed", range(3))
def test_as_many_samples_are_with_their_kind_as_scikit_learn_has(seed, spread):
    features, truth = blobs(seed, spread)
    peer = scikit_learns(features, num_init=4, seed=seed)
    assert accuracy(clustered(features, num_init=4, seed=seed).labels, truth) >= accuracy(peer, truth) - 0.02


def test_a_single_seeding_is_on_average_as_good_as_scikit_learns():
    features, _ = blobs(5, 0.3)
    ours = [inertia_of(features, clustered(features, seed=seed).labels) for seed in range(40)]
    theirs = [inertia_of(features, scikit_learns(features, num_init=1, seed=s)) for s in range(40)]
    assert np.mean(ours) <= 1.02 * np.mean(theirs)


def test_more_seedings_are_never_worse():
    features, _ = blobs(6, 0.8)
    one, four = clustered(features, num_init=1), clustered(features, num_init=4)
    assert four.inertia <= one.inertia * 1.02


def test_the_reported_inertia_is_that_of_the_labels():
    features, _ = blobs(7, 0.4)
    result = clustered(features)
    np.testing.assert_allclose(result.inertia, inertia_of(features, result.labels), rtol=1e-3)


def test_every_sample_is_with_its_nearest_centre():
    features, _ = blobs(8, 0.8)
    result = clustered(features)
    similarity = [[cosine(row, centre) for centre in result.centres] for row in features]
    chosen = np.array(similarity)[np.arange(N), result.labels]
    np.testing.assert_allclose(chosen, np.max(similarity, axis=1), atol=1e-5)


def test_every_centre_is_the_direction_of_its_members():
    features, _ = blobs(9, 0.4)
    result = clustered(features)
    for label, centre in enumerate(result.centres):
        np.testing.assert_allclose(centre, unit(mean(features[result.labels == label])), atol=5e-3)


@pytest.mark.parametrize("seed", range(2))
def test_centres_are_unit_vectors(seed):
    centres = clustered(blobs(seed, 0.8)[0], seed=seed).centres
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize(("seed", "num_clusters"), list(itertools.product(range(3), [N // 3, N])))
def test_no_cluster_is_empty_however_many_there_are(seed, num_clusters):
    features = unit_normal(np.random.default_rng(seed), N, D).astype(np.float32)
    labels = clustered(features, num_clusters=num_clusters, seed=seed).labels
    assert set(labels.tolist()) == set(range(num_clusters))


def test_as_many_clusters_as_samples_give_each_its_own():
    features = unit_normal(np.random.default_rng(10), N, D).astype(np.float32)
    result = clustered(features, num_clusters=N)
    assert len(set(result.labels.tolist())) == N
    np.testing.assert_allclose(result.inertia, 0, atol=1e-3)


def test_a_single_cluster_holds_everything():
    features, _ = blobs(11, 0.4)
    result = clustered(features, num_clusters=1)
    np.testing.assert_array_equal(result.labels, np.zeros(N))
    np.testing.assert_allclose(result.inertia, inertia_of(features, result.labels), rtol=1e-4)


def test_the_same_key_gives_the_same_clusters():
    features, _ = blobs(12, 0.8)
    first, second = clustered(features, seed=3), clustered(features, seed=3)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_key_starts_elsewhere():
    features = unit_normal(np.random.default_rng(13), N, D).astype(np.float32)
    assert (clustered(features, seed=0).labels != clustered(features, seed=1).labels).any()


def test_the_block_size_does_not_change_the_labels():
    features, _ = blobs(14, 0.4)
    expected = clustered(features).labels
    np.testing.assert_array_equal(clustered(features, block_size=7).labels, expected)


def test_iterations_are_bounded():
    features, _ = blobs(15, 0.8)
    assert clustered(features, max_iterations=2).iterations <= 2


@pytest.mark.parametrize("distinct", [1, 3], ids=["all alike", "three kinds"])
def test_fewer_distinct_samples_than_clusters_stay_finite(distinct):
    kinds = unit_normal(np.random.default_rng(16), distinct, D)
    result = clustered(kinds[np.arange(N) % distinct].astype(np.float32))
    assert np.isfinite(result.centres).all()
    assert ((result.labels >= 0) & (result.labels < K)).all()
    np.testing.assert_allclose(result.inertia, 0, atol=1e-3)


def test_alike_samples_share_a_cluster():
    kinds = unit_normal(np.random.default_rng(17), K, D)
    truth = np.arange(N) % K
    assert clustering_accuracy(clustered(kinds[truth].astype(np.float32)).labels, truth) == 1.0


def test_zero_rows_stay_finite():
    features, _ = blobs(18, 0.4)
    features[:5] = 0
    result = clustered(features)
    assert np.isfinite(result.centres).all()
    assert np.isfinite(result.inertia)


def test_more_clusters_than_samples_is_an_error_that_names_both():
    features = unit_normal(np.random.default_rng(19), 5, D).astype(np.float32)
    with pytest.raises(ValueError, match=r"(?s)(?=.*\b5\b)(?=.*\b6\b)"):
        clustered(features, num_clusters=6)


def test_another_data_set_of_the_same_shape_is_not_compiled_again():
    clustered(blobs(20, 0.4)[0], seed=0)
    compilations = []

    def note(event: str, duration_secs: float, **_: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compilations.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        clustered(blobs(21, 0.8)[0], seed=1)
        again = len(compilations)
        jax.jit(lambda x: x + 1)(1.0)
    finally:
        jax.monitoring.unregister_event_duration_listener(note)
    assert again == 0
    assert len(compilations) > 0, "the listener must notice a compilation when there is one"
