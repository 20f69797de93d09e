"""Features of triples that are read where they are: all in order, and few images in memory at a time."""

import os
import threading
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.reading.records import DataError
from data_pipelines.storing.unprepared import UnpreparedTriples
from man_jax.engine import unprepared_features
from man_jax.engine.trained_network import TrainedNetwork
from man_jax.engine.unprepared_features import extract_features
from man_jax.sharding import make_mesh

BATCH, COUNT = 4, 150


@jax.jit
def colours(scale, images):
    """As features, the colour of each image's first pixel and 1; as the other two tables, nothing."""
    colour = scale * images[:, :, 0, 0].astype(jnp.float32)
    return jnp.moveaxis(jnp.pad(colour, ((0, 0), (0, 0), (0, 1)), constant_values=1), 1, 0), None, None


def triples(read, count=COUNT) -> UnpreparedTriples:
    unknown = np.full(count, -1)
    return UnpreparedTriples(read, ("R", "N"), [("", "")] * count, unknown, unknown)


def extract(read, count=COUNT, scale=1.0):
    network = TrainedNetwork(colours, jnp.float32(scale), "", None, None)
    mesh = make_mesh(jax.devices()[:1])
    return extract_features(network, triples(read, count), batch_size=BATCH, mesh=mesh).features


def image(place: int) -> np.ndarray:
    return np.full((2, 3, 3, 3), place, np.uint8)


@pytest.mark.parametrize("count", [1, BATCH, COUNT])
def test_each_triple_has_its_own_row(count):
    colour = np.arange(count)[:, None] * np.ones((1, 3))
    modal = np.concatenate([colour, np.ones((count, 1))], axis=1)
    wanted = np.concatenate([modal, modal], axis=1)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(extract(image, count), wanted, rtol=1e-6)


def test_no_more_images_are_in_memory_than_a_few_batches():
    living, most, lock = set(), [0], threading.Lock()

    def read(place):
        found = image(place)
        with lock:
            living.add(place)
            most[0] = max(most[0], len(living))
        weakref.finalize(found, living.discard, place)
        return found

    extract(read)
    waiting = 4 * (os.cpu_count() or 1) + (os.cpu_count() or 1)
    assert most[0] <= waiting + 3 * BATCH < COUNT or waiting + 3 * BATCH >= COUNT


def test_features_of_few_batches_wait_on_the_device(monkeypatch):
    started, fetched = [], []
    fused, put = unprepared_features._fused, unprepared_features._put
    monkeypatch.setattr(unprepared_features, "_fused", lambda modal: started.append(1) or fused(modal))
    monkeypatch.setattr(
        unprepared_features, "_put", lambda *all_: fetched.append(len(started) - len(fetched)) or put(*all_)
    )
    extract(image)
    assert len(fetched) == -(-COUNT // BATCH)
    assert max(fetched) == 2


def test_an_image_that_fails_amid_the_work_is_told():
    def read(place):
        if place == 30:
            raise DataError("30.png: gone")
        return image(place)

    with pytest.raises(DataError, match="gone"):
        extract(read)


def test_features_that_are_not_finite_are_told_with_their_place():
    with pytest.raises(FloatingPointError, match="the triples 0 to 3 are not finite"):
        extract(image, scale=np.inf)
