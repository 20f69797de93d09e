import numpy as np
import pytest

from man_jax.engine.evaluation import extract_query_gallery, rank, retrieval_distances
from man_jax.sharding import make_mesh
from tests.engine.splits import new_dataset, new_split


def brightness(_, images):
    """In place of the network: a unit vector that turns with the brightness of the triple's first pixel."""
    angle = np.asarray(images)[:, 0, 0, 0, 0] / 255.0
    fused = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    of_each = np.repeat(fused[None], 3, axis=0)
    return of_each, fused, of_each


@pytest.fixture(scope="module")
def data():
    """Queries 0, 1; each one's own triple in the gallery is the next brighter one, but for its own camera's."""
    query, gallery = new_split([0, 1], camids=[0, 0]), new_split([0, 1, 1, 2], camids=[1, 0, 1, 1])
    query.images[:, 0, 0, 0, 0] = [100, 200]
    gallery.images[:, 0, 0, 0, 0] = [110, 200, 240, 205]
    return new_dataset(query, query, gallery)


def features_of(extract, data):
    return extract_query_gallery(extract, {}, data, batch_size=8, mesh=make_mesh())


@pytest.fixture(scope="module")
def distances(data):
    return retrieval_distances(features_of(brightness, data))


def test_distances_are_those_of_every_query_to_every_gallery_triple(distances, data):
    angles = [split.images[:, 0, 0, 0, 0] / 255.0 for split in (data.query, data.gallery)]
    expected = 2 - 2 * np.cos(angles[0][:, None] - angles[1][None, :])
    np.testing.assert_allclose(distances, expected, atol=1e-6)


def test_modalities_missing_at_test_leave_the_fusion_of_the_others(data):
    rows = np.random.default_rng(0).normal(size=(3, 8, 4))
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)

    def by_first_pixel(_, images):
        """In place of the network: a row of each modality by the first pixel."""
        modal = rows[:, np.asarray(images)[:, 0, 0, 0, 0] % 8].astype(np.float32)
        return modal, np.zeros((modal.shape[1], 12), np.float32), modal

    found = np.asarray(retrieval_distances(features_of(by_first_pixel, data), present=[0, 2]))
    for i, query in enumerate(data.query.images[:, 0, 0, 0, 0] % 8):
        for j, other in enumerate(data.gallery.images[:, 0, 0, 0, 0] % 8):
            cosines = [float(rows[m, query] @ rows[m, other]) for m in (0, 2)]
            assert found[i, j] == pytest.approx(2 - sum(cosines), abs=1e-5)


def test_ranking_removes_what_the_data_set_s_rule_removes(distances, data):
    result = rank(distances, data)
    # Query 0 finds its triple first. Query 1: its own camera's is removed, another object's comes first.
    assert result.as_dict()["R1"] == 0.5
    assert result.mAP == pytest.approx((1 + 1 / 2) / 2)
    assert result.num_valid == 2
