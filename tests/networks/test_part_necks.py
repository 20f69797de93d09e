"""The necks of parts: each channel of each part and modality is normalised by itself."""

import jax
import numpy as np
import pytest

from man_jax.networks.part_necks import necks_like, norm_parts

P, M, B, D = 3, 2, 5, 4


@pytest.fixture(autouse=True, scope="module")
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def necks():
    rng = np.random.default_rng(0)
    size = P * M * D
    return {
        "params": {"scale": rng.normal(size=size)},
        "batch_stats": {"mean": rng.normal(size=size), "var": rng.uniform(0.5, 2, size)},
    }


@pytest.fixture
def stripes():
    return np.random.default_rng(1).normal(size=(P, M, B, D))


@pytest.mark.parametrize("train", [True, False])
def test_each_part_is_normalised_by_its_own_channels(necks, stripes, train):
    parts, after = norm_parts(necks, stripes, train=train)
    place = 0
    for part in range(P):
        np.testing.assert_array_equal(parts[part].pooled, stripes[part])
        for modality in range(M):
            for channel in range(D):
                rows = stripes[part, modality, :, channel]
                old = [necks["batch_stats"][name][place] for name in ("mean", "var")]
                mean, var = (rows.mean(), rows.var()) if train else old
                expected = (rows - mean) / np.sqrt(var + 1e-5) * necks["params"]["scale"][place]
                np.testing.assert_allclose(parts[part].normed[modality, :, channel], expected, rtol=1e-9)
                moved = [0.9 * o + 0.1 * n for o, n in zip(old, (rows.mean(), rows.var()), strict=True)]
                np.testing.assert_allclose(
                    [after[name][place] for name in ("mean", "var")], moved if train else old, rtol=1e-9
                )
                place += 1


def test_necks_of_parts_begin_as_the_network_s_neck_of_their_modality(stripes):
    rng = np.random.default_rng(2)
    scale, mean, var = rng.normal(size=(M, D)), rng.normal(size=(M, D)), rng.uniform(0.5, 2, (M, D))
    network = {
        "params": {"branches": {"neck": {"scale": scale}}},
        "batch_stats": {"branches": {"neck": {"mean": mean, "var": var}}},
    }
    parts, _ = norm_parts(necks_like(network, num_parts=P), stripes, train=False)
    for part, rows in zip(parts, stripes, strict=True):
        expected = (rows - mean[:, None]) / np.sqrt(var[:, None] + 1e-5) * scale[:, None]
        np.testing.assert_allclose(part.normed, expected, rtol=1e-9)
