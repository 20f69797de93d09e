import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from man_jax.networks.resnet import ResNet, Stage, rectify
from tests.oracles import networks as oracle
from tests.oracles.precision import assert_close, evaluate

TORCHVISION_RESNET50 = 23_508_032
"""Parameters of torchvision's resnet50 without its classifier `fc`."""


def shapes_of(network: ResNet, images: tuple[int, ...]):
    """Variables, output and the inner maps of a network, without computing any of them."""

    def run(key, x):
        variables = network.init(key, x, train=False)
        output, seen = network.apply(variables, x, train=False, capture_intermediates=True, mutable=True)
        return variables, output, seen["intermediates"]

    return jax.eval_shape(run, jax.random.key(0), jax.ShapeDtypeStruct(images, "float32"))


@pytest.fixture(scope="module")
def resnet50():
    return shapes_of(ResNet(), (2, 256, 128, 3))


def test_resnet50_has_as_many_parameters_as_torchvision_s_without_fc(resnet50):
    variables, _, _ = resnet50
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == TORCHVISION_RESNET50


def test_resnet50_has_a_feature_of_2048(resnet50):
    _, features, _ = resnet50
    assert features.shape == (2, 2048)
    assert ResNet().dim == 2048


def test_resnet50_sees_an_image_at_the_published_resolutions(resnet50):
    _, _, inner = resnet50
    sizes = [inner[f"layer{i}"]["__call__"][0].shape[1:3] for i in (1, 2, 3, 4)]
    assert sizes == [(64, 32), (32, 16), (16, 8), (16, 8)]


def test_the_last_stage_is_twice_as_large_at_stride_1():
    last = {
        stride: shapes_of(ResNet(last_stride=stride), (1, 256, 128, 3))[2]["layer4"]["__call__"][0].shape
        for stride in (1, 2)
    }
    assert last[1] == (1, 16, 8, 2048)
    assert last[2] == (1, 8, 4, 2048)


# --- the ReLU of a sum


def test_a_rectified_map_and_its_gradient_are_those_of_a_relu():
    x = jnp.array([-2.0, -0.0, 0.0, 1e-30, 3.0, jnp.nan, jnp.inf, -jnp.inf])
    np.testing.assert_array_equal(rectify(x), nn.relu(x))
    gradients = (jax.grad(lambda x, f=f: f(x).sum())(x[:5]) for f in (rectify, nn.relu))
    np.testing.assert_array_equal(*gradients)


def _most_maps_read(num_blocks: int) -> int:
    """Count the whole maps that the fusion with most of them reads, in a compiled stage of so many blocks."""
    stage = Stage(8, num_blocks, 1, "taps", False, False, "bottleneck", None)
    maps = jnp.ones((2, 16, 8, 32))
    variables = stage.init(jax.random.key(0), maps)
    program = jax.jit(stage.apply).lower(variables, maps).compile().as_text()
    of_maps = set(re.findall(r"%([\w.-]+) = f32\[(?:2,16,8,32|256,32)\]", program))
    fusions = re.findall(r" fusion\(([^)]*)\)", program)
    return max(len(of_maps.intersection(re.findall(r"%([\w.-]+)", operands))) for operands in fusions)


def test_a_later_block_reads_no_more_maps_than_the_second_one():
    assert _most_maps_read(6) == _most_maps_read(2)


# --- the whole network against the oracle


def _drawn(network: ResNet, *images: int):
    """Variables in which no norm is without effect, and images."""
    rng = np.random.default_rng(0)
    variables, _, _ = shapes_of(network, images)
    ranges = {"scale": (0.5, 1.5), "bias": (-0.5, 0.5), "mean": (-0.5, 0.5), "var": (0.5, 1.5)}

    def draw(path, leaf):
        if path[-1].key == "kernel":
            return rng.normal(size=leaf.shape) / np.sqrt(leaf.shape[-1])
        return rng.uniform(*ranges[path[-1].key], leaf.shape)

    return jax.tree_util.tree_map_with_path(draw, variables), rng.normal(size=images)


def _features(variables, images, *, stage_sizes, last_stride=1, form="taps", stem_relu=True):
    network = ResNet(stage_sizes, width=4, last_stride=last_stride, form=form, stem_relu=stem_relu)
    return network.apply(variables, images, train=False)


@pytest.mark.parametrize(("form", "last_stride"), [("lax", 1), ("taps", 2)])
def test_features_are_those_of_the_network_of_the_publication(form, last_stride):
    shape = {"stage_sizes": (1, 2, 1, 1), "last_stride": last_stride}
    variables, images = _drawn(ResNet(**shape, width=4), 2, 30, 33, 3)
    actual = evaluate(_features, variables, images, form=form, **shape)
    expected = oracle.resnet(variables["params"], variables["batch_stats"], images, **shape)
    assert_close(actual, expected)


def test_the_stem_can_be_without_a_relu():
    shape = {"stage_sizes": (1,), "last_stride": 1}
    variables, images = _drawn(ResNet(**shape, width=4), 2, 10, 11, 3)
    found = [evaluate(_features, variables, images, stem_relu=there, **shape) for there in (True, False)]
    for features, there in zip(found, (True, False), strict=True):
        wanted = oracle.resnet(
            variables["params"], variables["batch_stats"], images, stem_relu=there, **shape
        )
        assert_close(features, wanted)
    assert not np.allclose(*found)


SHALLOW = {"stage_sizes": (2,), "width": 2}


def _value_and_slope(params, batch_stats, images, *, remat):
    def loss(params):
        variables = {"params": params, "batch_stats": batch_stats}
        network = ResNet(**SHALLOW, remat=remat)
        features, _ = network.apply(variables, images, train=True, mutable=["batch_stats"])
        return 0.5 * (features**2).sum()

    return jax.value_and_grad(loss)(params)


@pytest.fixture(scope="module")
def remats():
    variables, images = _drawn(ResNet(**SHALLOW), 2, 16, 8, 3)
    arrays = (variables["params"], variables["batch_stats"], images)
    return {remat: evaluate(_value_and_slope, *arrays, remat=remat) for remat in ("none", "block", "stage")}


@pytest.mark.parametrize("remat", ["block", "stage"])
def test_rematerialisation_changes_neither_value_nor_gradient(remats, remat):
    jax.tree.map(assert_close, remats[remat], remats["none"])
