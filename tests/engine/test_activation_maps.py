"""The strength of the last maps against plain loops."""

import jax
import numpy as np
import pytest

from man_jax.engine.activation_maps import activation_maps
from man_jax.engine.augment import Normalization, normalize
from man_jax.networks.three_branch import Branch, ThreeBranch
from man_jax.networks.vit import ViT
from tests.engine.small_backbone import PATCH, SmallBackbone

B, M, SIZE = 2, 2, (2 * PATCH, 3 * PATCH)


def test_strength_is_the_sum_of_squares_divided_by_the_largest_of_the_image():
    model = ThreeBranch(Branch(SmallBackbone(dim=3)), num_classes=0, num_modalities=M, application="vmap")
    variables = model.init(jax.random.key(0), SIZE)
    images = np.random.default_rng(0).integers(0, 256, (B, M, *SIZE, 3), np.uint8)
    maps, _ = model.maps(variables, normalize(images, Normalization()), train=False)
    last = np.asarray(maps[-1], np.float64)
    expected = np.zeros((B, M, *last.shape[2:4]))
    for b in range(B):
        for m in range(M):
            for y in range(last.shape[2]):
                for x in range(last.shape[3]):
                    expected[b, m, y, x] = sum(value**2 for value in last[m, b, y, x])
            expected[b, m] /= expected[b, m].max()
    found = activation_maps(model, Normalization(), variables, images)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.max(axis=(2, 3)), 1, rtol=1e-6)


def test_a_backbone_without_maps_is_refused():
    vit = ViT(kind="vit", patch=4, stride=4, width=8, depth=1, heads=2)
    model = ThreeBranch(Branch(vit), num_classes=0, num_modalities=1)
    variables = model.init(jax.random.key(0), (8, 8))
    with pytest.raises(ValueError, match="a vit has no stages"):
        activation_maps(model, Normalization(), variables, np.zeros((1, 1, 8, 8, 3), np.uint8))
