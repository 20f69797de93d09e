"""With the same weights, our MSINet and one written with PyTorch give the same features, gradients and maps."""

from functools import partial

import jax
import numpy as np
import pytest
import torch

from man_jax.networks.msinet import MSINet
from man_jax.networks.msinet_keys import PUBLISHED
from man_jax.networks.pretrained.errors import WeightsError
from man_jax.networks.pretrained.matching import match_weights, to_library_arrays
from tests.engine.tiny import QUICKLY
from tests.oracles import torch_msinet as oracle
from tests.oracles.precision import DOUBLE, SINGLE
from tests.oracles.torch_weights import as_torch, drawn_images, relative_error, variable_shapes

NARROW = {"widths": (6, 16, 24, 32), "interactions": PUBLISHED}
TOLERANCE = {SINGLE: 1e-4, DOUBLE: 1e-9}
_jit = partial(jax.jit, compiler_options=QUICKLY)


def ours(state, network: MSINet, image_size, dtype: str):
    like = variable_shapes(network, image_size, dtype=dtype)
    return match_weights(state, like, family="msinet").variables


def our_features(state, network, images, precision) -> np.ndarray:
    with jax.enable_x64(precision is DOUBLE):
        variables = ours(state, network, images.shape[1:3], precision.dtype)
        run = _jit(lambda v, x: network.apply(v, x, train=False))
        return np.asarray(run(variables, images.astype(precision.dtype)))


def torch_features(state, images, precision, **kind) -> np.ndarray:
    tensors = {
        name: torch.tensor(array, dtype=getattr(torch, precision.dtype)) for name, array in state.items()
    }
    return oracle.features(tensors, as_torch(images, precision.dtype), **kind).numpy()


def test_the_published_network_has_the_same_features_at_full_size():
    state, images = oracle.drawn_state(half_channels=128), drawn_images(1, (256, 128))
    actual = our_features(state, MSINet(half_channels=128, form="lax"), images, SINGLE)
    expected = torch_features(state, images, SINGLE, half_channels=128)
    assert actual.shape == (1, 512 + 2 * 128)
    assert np.abs(actual - expected).max() <= 1e-4
    assert relative_error(actual, expected) < TOLERANCE[SINGLE]


@pytest.mark.parametrize(("form", "image_size"), [("lax", (65, 47)), ("taps", (64, 32))])
def test_a_narrow_network_has_the_same_features_in_double_precision(form, image_size):
    """Maps of odd sizes lose their last row or column."""
    state, images = oracle.drawn_state(1, **NARROW, half_channels=3), drawn_images(2, image_size)
    actual = our_features(state, MSINet(**NARROW, half_channels=3, form=form), images, DOUBLE)
    expected = torch_features(state, images, DOUBLE, half_channels=3)
    assert relative_error(actual, expected) < TOLERANCE[DOUBLE]


@pytest.mark.parametrize("kind", ["none", "exc", "ag", "cross_att"])
def test_each_interaction_is_that_of_its_name(kind):
    small = {"widths": (4, 32), "interactions": (kind, "none", "none", kind)}
    state, images = oracle.drawn_state(2, **small), drawn_images(2, (16, 8))
    actual = our_features(state, MSINet(**small, form="lax"), images, DOUBLE)
    expected = torch_features(state, images, DOUBLE, interactions=small["interactions"])
    assert relative_error(actual, expected) < TOLERANCE[DOUBLE]


def test_training_gives_the_same_gradients():
    small = {"widths": (6, 16), "interactions": ("ag", "exc", "none", "cross_att")}
    kind = {**small, "half_channels": 3}
    state, images = oracle.drawn_state(3, **kind), drawn_images(4, (32, 16))
    weights = np.random.default_rng(4).normal(size=(4, 16 + 6))
    tensors = {
        name: torch.tensor(array, requires_grad="running" not in name) for name, array in state.items()
    }
    theirs = oracle.features(
        tensors, as_torch(images), train=True, half_channels=3, interactions=small["interactions"]
    )
    (theirs * torch.tensor(weights)).sum().backward()
    network = MSINet(**kind, form="lax")
    with jax.enable_x64(True):
        variables = ours(state, network, (32, 16), "float64")

        def total(params):
            found, _ = network.apply(
                {**variables, "params": params}, images, train=True, mutable=["batch_stats"]
            )
            return (found * weights).sum()

        slope = _jit(jax.grad(total))(variables["params"])
    slope = {"params": slope, "batch_stats": variables["batch_stats"]}
    arrays = to_library_arrays(slope, title="MSINet's code", family="msinet")
    for name, tensor in tensors.items():
        if tensor.grad is not None:
            np.testing.assert_allclose(arrays[name], tensor.grad, rtol=1e-6, atol=1e-7, err_msg=name)


@pytest.mark.parametrize(("remat", "parts"), [("none", 0), ("block", 4), ("stage", 2)])
def test_cells_or_stages_may_be_computed_once_more_in_the_backward_pass(remat, parts):
    network = MSINet(widths=(4, 8, 8), interactions=PUBLISHED[:8], remat=remat)
    variables = variable_shapes(network, (32, 16))
    images = jax.ShapeDtypeStruct((2, 32, 16, 3), "float32")

    def total(variables, images):
        return network.apply(variables, images, train=True, mutable=["batch_stats"])[0].sum()

    assert str(jax.make_jaxpr(total)(variables, images)).count("remat") == parts
    slope = jax.eval_shape(jax.grad(total), variables, images)
    assert jax.tree.map(lambda leaf: leaf.shape, slope) == jax.tree.map(lambda leaf: leaf.shape, variables)


# --- stages


@pytest.fixture(scope="module")
def narrow():
    network = MSINet(**NARROW, form="lax")
    images = drawn_images(2, (64, 32)).astype("f4")
    return network, ours(oracle.drawn_state(5, **NARROW), network, (64, 32), "float32"), images


def test_there_is_a_map_for_the_stem_and_for_each_stage(narrow):
    network, variables, images = narrow
    maps = jax.eval_shape(lambda v, x: network.apply(v, x, train=False, method="maps"), variables, images)
    assert [x.shape for x in maps] == [(2, 16, 8, 6), (2, 16, 8, 16), (2, 8, 4, 24), (2, 4, 2, 32)]
    assert (network.num_stages, network.dim) == (3, 32)


@pytest.mark.parametrize(("train", "half_channels"), [(False, 0), (True, 5)])
def test_features_by_way_of_a_stage_s_maps_are_those_of_the_whole(narrow, train, half_channels):
    _, _, images = narrow
    kind = {"widths": (6, 16, 24), "interactions": PUBLISHED[:8], "half_channels": half_channels}
    network, state = MSINet(**kind, form="lax"), oracle.drawn_state(5, **kind)
    variables = ours(state, network, (64, 32), "float32")

    @_jit
    def both(variables, images):
        keywords = {"train": train, "mutable": ["batch_stats"]}
        whole, moved = network.apply(variables, images, **keywords)
        found = [(whole, moved)]
        for stage in (0, network.num_stages - bool(half_channels)):
            maps, first = network.apply(variables, images, **keywords, last=stage, method="maps")
            rest = {**variables, **first}
            found.append(network.apply(rest, maps[-1], **keywords, stage=stage, method="from_stage"))
        return found

    whole, *halves = both(variables, images)
    for found in halves:
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5), found, whole)


@pytest.mark.parametrize(("half_channels", "stage", "last"), [(0, 4, 3), (0, -1, 3), (5, 3, 2)])
def test_a_stage_that_there_is_not_is_refused(half_channels, stage, last):
    network = MSINet(**NARROW, half_channels=half_channels)
    wanted = rf"stage is {stage}, but the msinet has the stages 0 \(the stem\) to {last} \(config.model.msinet.widths"
    with pytest.raises(ValueError, match=wanted):
        network.from_stage(np.zeros((1, 4, 2, 32)), stage=stage, train=False)


# --- weights


def test_the_arrays_of_the_public_code_s_heads_are_left_out(narrow):
    network, _, _ = narrow
    state = oracle.drawn_state(5, **NARROW, half_channels=4)
    heads = {"fc.weight": (32, 32), "classifier.weight": (9, 32), "f_fc.weight": (8, 8), "head.weight": (32,)}
    heads |= {"f_head.running_mean": (8,), "align_module.pos_pam.query_conv.weight": (4, 32, 1, 1)}
    arrays = {f"module.{name}": np.ones(shape) for name, shape in heads.items()}
    arrays |= {f"module.{name}": array for name, array in state.items()}
    matched = match_weights(arrays, variable_shapes(network, (64, 32)), family="msinet")
    assert matched.prefix == "module."
    assert {name.removeprefix("module.") for name in matched.unused} == {
        *heads,
        "f_conv.weight",
        "f_conv.bias",
    }


def test_all_arrays_are_given_back_under_their_names(narrow):
    _, variables, _ = narrow
    arrays = to_library_arrays(variables, title="MSINet's code", family="msinet")
    state = oracle.drawn_state(5, **NARROW)
    assert arrays.keys() == state.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, state[name].astype("f4"), err_msg=name)


def test_weights_of_another_architecture_are_refused():
    other = {**NARROW, "interactions": ("exc",) * 12}
    state = oracle.drawn_state(6, **NARROW)
    with pytest.raises(WeightsError, match=r"left over: .*_op2"):
        match_weights(state, variable_shapes(MSINet(**other), (64, 32)), family="msinet")
    with pytest.raises(WeightsError, match=r"this is a msinet .*set that to 'msinet'"):
        match_weights(state, variable_shapes(MSINet(**NARROW), (64, 32)), family="resnet")
