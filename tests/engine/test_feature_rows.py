"""Where the features of an epoch are kept, and that it changes nothing in them."""

from collections import namedtuple

import numpy as np
import pytest

from data_pipelines.session.disk import DiskError
from man_jax.config import ConfigError
from man_jax.engine import feature_rows
from man_jax.engine.feature_rows import FeatureRows, features_folder, features_size
from man_jax.frame import Network
from tests.engine.tiny import NUM_TRIPLES, D, M, new_frame

Usage = namedtuple("Usage", "free")
NETWORKS = (Network(), Network(num_parts=2))
NEEDED = 2 * NUM_TRIPLES * M * D * 4 * (3 + 5)


@pytest.fixture(params=["memory", "mapped"])
def folder(request, tmp_path):
    return None if request.param == "memory" else tmp_path


@pytest.mark.parametrize("shape", [(7, 4), (3, 7, 4), (2, 3, 7, 4)])
def test_rows_that_are_written_a_batch_at_a_time_are_the_array_without_padding(shape, folder):
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    padded = np.concatenate([values, np.full((*shape[:-2], 2, 4), np.nan, np.float32)], axis=-2)
    rows = FeatureRows(shape, np.float32, folder)
    for first in (0, 3, 6):
        rows.write(first, padded[..., first : first + 3, :])
    found = rows.array()
    np.testing.assert_array_equal(found, values, strict=True)
    assert isinstance(found, np.memmap) is (folder is not None)


def test_a_file_of_features_has_no_name_that_a_killed_run_could_leave(tmp_path):
    rows = FeatureRows((5, 3), np.float32, tmp_path)
    rows.write(0, np.ones((5, 3), np.float32))
    found = rows.array()
    assert list(tmp_path.iterdir()) == []
    assert found.sum() == 15


def test_a_folder_that_is_gone_is_told_in_a_line_with_the_remedy(tmp_path):
    with pytest.raises(DiskError, match=r"gone: cannot be written .*config\.adapt\.features=memory"):
        FeatureRows((5, 3), np.float32, tmp_path / "gone")


def test_the_size_counts_every_array_of_every_network_and_both_domains():
    frame = new_frame()
    assert features_size(frame.config, frame, NETWORKS) == NEEDED
    alone = new_frame(**{"adapt.protocol": "us"})
    assert features_size(alone.config, alone, NETWORKS) == NEEDED // 2


@pytest.mark.parametrize(
    ("place", "memory", "free", "mapped"),
    [
        ("memory", 0, NEEDED, False),
        ("mapped", 10 * NEEDED, NEEDED, True),
        ("auto", 2 * NEEDED, NEEDED, False),
        ("auto", 2 * NEEDED - 2, NEEDED, True),
        ("auto", 2 * NEEDED - 2, NEEDED - 1, False),
    ],
)
def test_features_are_in_files_where_that_is_asked_for_or_they_take_half_of_the_memory(
    place, memory, free, mapped, tmp_path, monkeypatch
):
    monkeypatch.setattr(feature_rows, "available_memory", lambda: memory)
    monkeypatch.setattr(feature_rows.shutil, "disk_usage", lambda _: Usage(free))
    frame = new_frame(**{"adapt.features": place})
    workdir = tmp_path / "not" / "yet"
    assert features_folder(frame.config, frame, NETWORKS, workdir) == (workdir if mapped else None)


def test_a_disk_without_room_is_told_before_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_rows.shutil, "disk_usage", lambda _: Usage(NEEDED - 1))
    frame = new_frame(**{"adapt.features": "mapped"})
    with pytest.raises(ConfigError, match=r"config\.adapt\.features is 'mapped': .*GiB free; free space"):
        features_folder(frame.config, frame, NETWORKS, tmp_path)
