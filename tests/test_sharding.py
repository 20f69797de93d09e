from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from man_jax import sharding
from man_jax.sharding import (
    DATA,
    batch_sharding,
    local_rows,
    make_mesh,
    put_batch,
    put_replicated,
    replicated,
)


def test_a_mesh_has_one_automatic_axis_over_all_devices():
    mesh = make_mesh()
    assert mesh.axis_names == (DATA,)
    assert mesh.size == jax.device_count() == 8
    assert mesh.axis_types == (AxisType.Auto,)


def test_a_mesh_may_have_fewer_devices():
    assert make_mesh(jax.devices()[:2]).size == 2


def test_the_devices_of_a_mesh_are_in_order_of_process_and_number():
    devices = jax.devices()
    assert list(make_mesh(devices[::-1]).devices) == devices
    owners = [(1, 0), (0, 3), (1, 2), (0, 1)]
    known = [SimpleNamespace(process_index=process, id=number) for process, number in owners]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("man_jax.sharding.Mesh", lambda devices, *_, **__: devices)
        ordered = make_mesh(known)
    assert [(device.process_index, device.id) for device in ordered] == sorted(owners)


def test_each_device_has_its_share_of_the_rows_of_a_batch():
    rows = np.arange(16 * 3).reshape(16, 3)
    placed = put_batch({"rows": rows}, make_mesh())["rows"]
    shards = sorted(placed.addressable_shards, key=lambda shard: shard.index[0].start)
    assert [shard.data.shape for shard in shards] == [(2, 3)] * 8
    assert len({shard.device for shard in shards}) == 8
    np.testing.assert_array_equal(np.concatenate([shard.data for shard in shards]), rows)


def test_a_batch_keeps_its_types():
    batch = {"images": np.zeros((8, 2), np.uint8), "reliable": np.zeros(8, bool)}
    placed = put_batch(batch, make_mesh())
    assert {name: leaf.dtype for name, leaf in placed.items()} == {"images": np.uint8, "reliable": bool}


def test_what_is_replicated_is_whole_on_every_device():
    values = np.arange(6.0, dtype=np.float32)
    placed = put_replicated({"x": values}, make_mesh())["x"]
    assert placed.sharding.is_equivalent_to(replicated(make_mesh()), 1)
    for shard in placed.addressable_shards:
        np.testing.assert_array_equal(shard.data, values)


@pytest.mark.parametrize("num_devices", [1, 8])
def test_what_is_replicated_may_be_donated_and_its_source_lives_on(num_devices):
    mesh = make_mesh(jax.devices()[:num_devices])
    source = put_replicated(jnp.arange(6.0), mesh)
    copy = put_replicated(source, mesh)
    jax.jit(lambda x: x + 1, donate_argnums=0)(copy)
    assert copy.is_deleted()
    np.testing.assert_array_equal(source, np.arange(6))


def test_trees_of_the_same_shapes_are_replicated_by_one_program():
    mesh = make_mesh(jax.devices()[:3])  # of no other test
    for _ in range(2):
        put_replicated({"x": np.arange(11.0)}, mesh)
    assert sharding._copier(mesh)._cache_size() == 1


def test_random_keys_can_be_replicated():
    key = jax.random.key(3)
    placed = put_replicated(key, make_mesh())
    np.testing.assert_array_equal(jax.random.key_data(placed), jax.random.key_data(key))


def test_a_global_mean_does_not_depend_on_how_the_batch_is_split():
    rows = np.arange(32, dtype=np.float32)
    mesh = make_mesh()
    mean = jax.jit(jnp.mean, in_shardings=batch_sharding(mesh), out_shardings=replicated(mesh))
    assert mean(put_batch(rows, mesh)) == 15.5


def test_a_single_process_loads_every_row():
    assert local_rows(32) == slice(0, 32)


@pytest.mark.parametrize("num_processes", [2, 4])
def test_processes_share_out_the_rows_in_order(monkeypatch, num_processes):
    monkeypatch.setattr(jax, "process_count", lambda: num_processes)
    taken = []
    for index in range(num_processes):
        monkeypatch.setattr(jax, "process_index", lambda index=index: index)
        taken += range(32)[local_rows(32)]
    assert taken == list(range(32))
