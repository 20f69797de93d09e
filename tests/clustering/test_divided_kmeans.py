"""K-means of rows on eight devices is K-means on one."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from man_jax.clustering import kmeans as subject
from man_jax.clustering.kmeans import cluster_tables, kmeans
from man_jax.layout import Layout
from man_jax.sharding import make_mesh
from tests.oracles.cases import unit_normal

KEY = jax.random.key(3)


def drawn(num_samples: int, dim: int, num_clusters: int, noise: float = 0.4) -> np.ndarray:
    rng = np.random.default_rng(num_samples)
    centres = unit_normal(rng, num_clusters, dim)[np.arange(num_samples) % num_clusters]
    rows = centres + noise * unit_normal(rng, num_samples, dim)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def layout(num_devices: int = 8) -> Layout:
    return Layout(make_mesh(jax.devices()[:num_devices]))


@pytest.mark.parametrize(
    ("num_samples", "num_clusters", "settings"),
    [(203, 17, {}), (203, 17, {"num_init": 3, "block_size": 5}), (9, 9, {}), (64, 1, {})],
)
def test_eight_devices_find_the_clusters_of_one(num_samples, num_clusters, settings):
    rows = drawn(num_samples, 24, min(num_clusters, 9))
    common = {"num_clusters": num_clusters, "key": KEY, **settings}
    one, eight = kmeans(jnp.asarray(rows), **common), kmeans(rows, **common, layout=layout())
    np.testing.assert_array_equal(eight.labels, one.labels)
    np.testing.assert_allclose(eight.centres, one.centres, atol=1e-6)
    assert float(eight.inertia) == pytest.approx(float(one.inertia), rel=1e-5, abs=1e-5)
    assert eight.iterations == one.iterations


def test_copies_of_a_few_rows_stay_together():
    rows = np.repeat(drawn(6, 8, 6), 7, axis=0)
    found = kmeans(rows, num_clusters=11, key=KEY, max_iterations=4, layout=layout())
    labels = np.asarray(found.labels).reshape(6, 7)
    assert (labels == labels[:, :1]).all()
    assert len(np.unique(labels)) == 6
    assert float(found.inertia) == pytest.approx(0, abs=1e-4)


def test_padding_is_drawn_as_no_seed_where_all_samples_are_close():
    rows = drawn(9, 8, 1, noise=0.01)
    one = kmeans(jnp.asarray(rows), num_clusters=4, key=KEY)
    eight = kmeans(rows, num_clusters=4, key=KEY, layout=layout())
    np.testing.assert_array_equal(eight.labels, one.labels)
    np.testing.assert_allclose(eight.centres, one.centres, atol=1e-6)


@pytest.mark.parametrize("block", [1024, 40], ids=["one block", "blocks that overlap"])
def test_padding_is_no_member_of_a_cluster_and_no_row_is_counted_twice(block):
    spread = layout()._replace(block=block)
    placed = spread.put_rows(drawn(203, 8, 5))
    real = jnp.arange(placed.shape[0]) < 203
    found = subject._assign_blocks(placed, real, spread, jnp.asarray(drawn(5, 8, 5)))
    assert float(found.counts.sum()) == 203
    np.testing.assert_array_equal(np.isinf(found.similarity), ~np.asarray(real))


def test_clusters_without_samples_restart_at_the_farthest_ones():
    rows, rng = drawn(24, 8, 3), np.random.default_rng(0)
    centres, counts = jnp.asarray(drawn(10, 8, 5)), jnp.asarray(rng.integers(0, 2, 10))
    similarity = jnp.asarray(rng.random(24))
    found = subject.restart_empty(centres, counts, layout().put_rows(rows), similarity, layout())
    wanted, farthest = np.array(centres), list(np.argsort(similarity, stable=True))
    for place in np.flatnonzero(np.asarray(counts) == 0):
        wanted[place] = rows[farthest.pop(0)]
    np.testing.assert_array_equal(found, wanted)


def test_tables_may_lie_in_a_mapped_file(tmp_path):
    rows = drawn(101, 16, 5)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    wanted = cluster_tables([rows], num_clusters=5, key=KEY)
    np.testing.assert_array_equal(cluster_tables([mapped], num_clusters=5, key=KEY, layout=layout(3)), wanted)


def test_no_device_gathers_the_rows():
    rows, num_clusters = drawn(2000, 64, 9), 9  # a block of all devices has 8 × 50 × 64 numbers
    placed = layout().put_rows(rows)
    settings = {"num_samples": 2000, "num_clusters": num_clusters, "max_iterations": 10}
    eight = layout()._replace(block=8 * 50)
    program = (
        subject._cluster.lower(placed, KEY, tolerance=1e-6, layout=eight, **settings).compile().as_text()
    )
    sizes = [
        np.prod([int(size) for size in shape.split(",") if size])
        for types in re.findall(r" = (.*) (?:all-gather|all-reduce|all-to-all)\(", str(program))
        for shape in re.findall(r"\w\[([\d,]*)\]", types)
    ]
    assert sizes
    assert max(sizes) <= 2000 * 4  # a number for each sample and candidate, no feature
