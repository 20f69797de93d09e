import jax
import numpy as np
import pytest

from man_jax.networks.vit import ViT, extract_patches
from tests.oracles.precision import assert_close, evaluate
from tests.oracles.torch_weights import variable_shapes

TIMM = {"B16": 85_798_656, "S16": 21_665_664}
"""Parameters of timm's vit_base_patch16_224 and vit_small_patch16_224 without `head`, at 224 × 224."""
SIZES = {"B16": {}, "S16": {"width": 384, "heads": 6}}
TINY = {"patch": 4, "stride": 4, "width": 8, "depth": 2, "heads": 2}


@pytest.mark.parametrize("size", SIZES)
def test_it_has_as_many_parameters_as_timm_s_without_head(size):
    variables = variable_shapes(ViT(**SIZES[size]), (224, 224))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == TIMM[size]


@pytest.mark.parametrize(("stride", "grid"), [(16, (16, 8)), (12, (21, 10))])
def test_a_stride_below_the_patch_makes_more_tokens(stride, grid):
    backbone = ViT(stride=stride)
    assert backbone.grid((256, 128)) == grid
    position = variable_shapes(backbone, (256, 128))["params"]["position"]
    assert position.shape == (1 + grid[0] * grid[1], 768)


def test_patches_are_squares_cut_a_stride_apart():
    images = np.random.default_rng(0).normal(size=(2, 11, 9, 3))
    patches = evaluate(extract_patches, images, size=4, stride=3)
    assert patches.shape == (2, 3, 4, 2, 4, 3)
    for row, column in ((0, 0), (2, 1)):
        cut = images[:, 3 * row : 3 * row + 4, 3 * column : 3 * column + 4]
        np.testing.assert_array_equal(patches[:, row, :, column], cut)


def _value_and_slope(variables, images, *, remat):
    def loss(variables):
        return 0.5 * (ViT(**TINY, remat=remat).apply(variables, images, train=True) ** 2).sum()

    return jax.value_and_grad(loss)(variables)


def test_rematerialisation_changes_neither_value_nor_gradient():
    rng = np.random.default_rng(0)
    shapes = variable_shapes(ViT(**TINY), (8, 8))
    variables = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), shapes)
    images = rng.normal(size=(2, 8, 8, 3))
    none, block = (evaluate(_value_and_slope, variables, images, remat=remat) for remat in ("none", "block"))
    jax.tree.map(assert_close, block, none)


def test_a_projection_sets_the_length_of_the_feature():
    backbone = ViT(kind="clip", **TINY, projection=3)
    shapes = variable_shapes(backbone, (8, 8))["params"]
    assert (backbone.dim, shapes["projection"]["kernel"].shape) == (3, (8, 3))
    assert ViT(kind="clip", **TINY).dim == 8
