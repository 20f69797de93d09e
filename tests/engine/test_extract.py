from dataclasses import replace

import jax
import numpy as np
import pytest

from data_pipelines.reading.records import DataError
from man_jax.array_math import unit
from man_jax.engine.augment import Normalization, normalize
from man_jax.engine.extract import extract_table, make_extract
from man_jax.engine.optimizer import make_optimizer
from man_jax.frame import TRAINED
from man_jax.sharding import make_mesh, put_replicated
from tests.engine.splits import new_split
from tests.engine.tiny import IMAGE_SIZE, MODEL, D, M, new_state

N = 21
NORMALIZATION = Normalization()


@pytest.fixture(scope="module")
def split():
    return new_split(np.arange(N), image_size=IMAGE_SIZE)


@pytest.fixture(scope="module")
def variables():
    return put_replicated(
        TRAINED.variables(new_state(make_optimizer("sgd", lambda _: 0.1, weight_decay=0)), "source"),
        make_mesh(),
    )


@pytest.fixture(scope="module")
def extract():
    return make_extract(MODEL, NORMALIZATION, make_mesh())


@pytest.fixture(scope="module")
def table(extract, variables, split):
    return _table(extract, variables, split, batch_size=8)


def _table(extract, variables, split, *, batch_size):
    return extract_table(
        extract, variables, split, batch_size=batch_size, mesh=make_mesh(), description="features"
    )


def test_every_triple_of_the_split_has_a_row(table):
    assert table.modal.shape == (M, N, D)
    assert table.fused.shape == (N, M * D)


def test_rows_are_the_unit_features_of_the_triples_in_the_order_of_the_split(table, variables, split):
    def unit_features(images):
        features, _ = MODEL.features(variables, normalize(images, NORMALIZATION), train=False)
        return features.modal_unit, features.fused_unit, unit(features.pooled)

    modal, fused, pooled = jax.jit(unit_features)(np.stack([split[i] for i in range(N)]))
    np.testing.assert_allclose(table.modal, modal, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(table.fused, fused, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(table.pooled, pooled, rtol=1e-4, atol=1e-5)


def test_a_row_does_not_depend_on_the_batch_it_was_computed_in(extract, variables, split, table):
    other = _table(extract, variables, split, batch_size=16)
    np.testing.assert_allclose(other.modal, table.modal, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(other.fused, table.fused, rtol=1e-4, atol=1e-5)


def test_rows_are_of_norm_1(table):
    np.testing.assert_allclose(np.linalg.norm(table.modal, axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(table.fused, axis=-1), 1, rtol=1e-5)


def test_a_split_is_a_table_of_its_own_length_even_below_one_batch(extract, variables, split, table):
    few = new_split(np.arange(3), image_size=IMAGE_SIZE)
    few.images[:] = split.images[:3]
    np.testing.assert_allclose(
        _table(extract, variables, few, batch_size=8).fused, table.fused[:3], rtol=1e-4, atol=1e-5
    )


def test_a_split_that_its_set_lacks_has_no_features_and_says_so(extract, variables):
    with pytest.raises(DataError, match="features: the split has no triple"):
        _table(extract, variables, new_split([], image_size=IMAGE_SIZE), batch_size=8)


def test_triples_without_an_identity_have_features_as_any_others(extract, variables, split, table):
    unlabelled = replace(split, pids=np.full(N, -1))
    np.testing.assert_array_equal(_table(extract, variables, unlabelled, batch_size=8).fused, table.fused)


def test_a_table_in_mapped_files_is_the_same(extract, variables, split, table, tmp_path, monkeypatch):
    monkeypatch.setattr("man_jax.engine.extract.AHEAD", 1)
    kinds = {"batch_size": 8, "mesh": make_mesh(), "description": "features"}
    mapped = extract_table(extract, variables, split, **kinds, folder=tmp_path)
    for found, wanted in zip(mapped[:3], table[:3], strict=True):
        assert isinstance(found, np.memmap)
        np.testing.assert_array_equal(found, wanted)
    assert list(tmp_path.iterdir()) == []


def test_a_table_has_the_means_of_stripes_where_they_are_asked_for_and_is_else_the_same(
    extract, variables, split, table
):
    with_parts = extract_table(
        extract, variables, split, batch_size=8, mesh=make_mesh(), description="features", num_parts=2
    )
    assert table.parts is None
    assert with_parts.parts is not None
    assert with_parts.parts.shape == (2, M, N, D)
    for name in ("modal", "fused", "pooled"):
        np.testing.assert_allclose(getattr(with_parts, name), getattr(table, name), rtol=1e-4, atol=1e-5)
    # The two stripes are halves, so their mean is the pooled feature.
    np.testing.assert_allclose(unit(with_parts.parts.mean(axis=0)), table.pooled, rtol=1e-4, atol=1e-5)
    assert not np.allclose(with_parts.parts[0], with_parts.parts[1], rtol=1e-2)
