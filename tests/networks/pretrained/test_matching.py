"""Whose names a file has, what of our network it fills, and what is said where it does not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from man_jax.networks.pretrained.errors import WeightsError
from man_jax.networks.pretrained.matching import list_names, match_weights, to_library_arrays
from man_jax.networks.resnet import ResNet
from man_jax.networks.vit import ViT
from tests.oracles.torch_networks import Bottleneck, OpenAIVisual, TimmClip, TimmViT, TorchvisionResNet, stir
from tests.oracles.torch_weights import numpy_state, variable_shapes

SMALL = {"stage_sizes": (1, 2), "width": 4}
LIKE = variable_shapes(ResNet(**SMALL))


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """A small ResNet under torchvision's names."""
    return numpy_state(stir(TorchvisionResNet(Bottleneck, SMALL["stage_sizes"], width=SMALL["width"])))


def kernels(variables) -> np.ndarray:
    return variables["params"]["conv1"]["kernel"]


def test_every_variable_is_filled_in_its_own_shape_and_type(arrays):
    fitted = match_weights(arrays, LIKE, family="resnet")
    assert jax.tree.structure(fitted.variables) == jax.tree.structure(LIKE)
    for found, wanted in zip(jax.tree.leaves(fitted.variables), jax.tree.leaves(LIKE), strict=True):
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)


def test_a_kernel_is_turned_from_oihw_to_hwio(arrays):
    kernel = kernels(match_weights(arrays, LIKE, family="resnet").variables)
    for row, column in ((0, 0), (2, 5)):
        np.testing.assert_array_equal(
            kernel[row, column], arrays["conv1.weight"][:, :, row, column].T.astype("f4")
        )


def test_the_classifier_and_the_counters_are_reported_as_unused(arrays):
    unused = match_weights(arrays, LIKE, family="resnet").unused
    assert {"fc.weight", "fc.bias", "bn1.num_batches_tracked"} <= set(unused)
    assert all(name.startswith("fc.") or name.endswith("num_batches_tracked") for name in unused)


@pytest.mark.parametrize("prefix", ["module.", "state_dict.module.", "backbone."])
def test_a_wrapper_s_prefix_is_found(arrays, prefix):
    wrapped = {prefix + name: array for name, array in arrays.items()} | {"head.weight": np.zeros(3)}
    fitted = match_weights(wrapped, LIKE, family="resnet")
    assert fitted.prefix == prefix
    assert "head.weight" in fitted.unused
    np.testing.assert_array_equal(
        kernels(fitted.variables), kernels(match_weights(arrays, LIKE, family="resnet").variables)
    )


def test_a_stem_of_one_channel_sees_the_mean_of_three(arrays):
    grey = arrays["conv1.weight"][:, :1]
    kernel = kernels(match_weights(arrays | {"conv1.weight": grey}, LIKE, family="resnet").variables)
    image = np.random.default_rng(0).normal(size=(7, 7, 3))
    ours = np.einsum("hwc,hwco->o", image, kernel)
    np.testing.assert_allclose(
        ours, np.einsum("hw,ohw->o", image.mean(axis=2), grey[:, 0]), rtol=1e-5, atol=1e-6
    )


def refusal(arrays, *, family="resnet") -> str:
    with pytest.raises(WeightsError) as refused:
        match_weights(arrays, LIKE, family=family)
    return str(refused.value)


def test_what_is_missing_is_named(arrays):
    del arrays["layer2.1.bn2.running_var"], arrays["layer2.0.downsample.0.weight"]
    assert "2 missing: layer2.0.downsample.0.weight, layer2.1.bn2.running_var" in refusal(arrays)


def test_what_is_left_over_is_named(arrays):
    arrays["layer2.2.conv1.weight"] = np.zeros((8, 32, 1, 1))
    assert "1 left over: layer2.2.conv1.weight" in refusal(arrays)


def test_what_is_mis_shaped_is_named_with_both_shapes_as_the_file_has_them(arrays):
    arrays["layer1.0.conv2.weight"] = np.zeros((4, 6, 3, 3))
    assert "1 mis-shaped: layer1.0.conv2.weight is [4, 6, 3, 3] instead of [4, 4, 3, 3]" in refusal(arrays)


def test_a_network_of_another_width_lists_a_few_and_counts_the_rest():
    wide = numpy_state(TorchvisionResNet(Bottleneck, SMALL["stage_sizes"], width=6))
    message = refusal(wide)
    assert "conv1.weight is [6, 3, 7, 7] instead of [4, 3, 7, 7]" not in message.split(" and ")[-1]
    assert " more; set config.model to the network of the file" in message


def test_a_deeper_network_is_not_loaded_in_part():
    deeper = numpy_state(TorchvisionResNet(Bottleneck, (1, 3), width=4))
    assert "left over: layer2.2.bn1.bias" in refusal(deeper)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(arrays, value):
    arrays["bn1.weight"][1] = value
    assert "bn1.weight holds numbers that are not finite" in refusal(arrays)


def test_a_negative_variance_is_refused(arrays):
    arrays["bn1.running_var"][1] = -0.5
    assert "bn1.running_var holds a variance below 0" in refusal(arrays)


def test_integers_are_refused(arrays):
    arrays["bn1.weight"] = np.ones(4, np.int64)
    assert "bn1.weight is of int64, not of floating-point numbers" in refusal(arrays)


def test_unknown_names_are_shown(arrays):
    renamed = {f"x{i}": array for i, array in enumerate(arrays.values())}
    message = refusal(renamed)
    assert "not those of a resnet as known here (torchvision or timm, Hugging Face, positions in" in message
    assert "; it begins with x0, x1" in message


def test_a_file_that_holds_the_network_twice_is_refused(arrays):
    twice = {prefix + name: array for prefix in ("student.", "teacher.") for name, array in arrays.items()}
    assert "there 2 times, under 'student.', 'teacher.'" in refusal(twice)


def test_weights_in_half_the_width_are_widened(arrays):
    half = {name: array.astype(jnp.bfloat16) for name, array in arrays.items()}
    kernel = kernels(match_weights(half, LIKE, family="resnet").variables)
    assert kernel.dtype == np.float32
    np.testing.assert_array_equal(kernel[0, 0], half["conv1.weight"][:, :, 0, 0].T.astype("f4"))


def test_only_a_few_of_many_names_are_listed_and_counters_last():
    names = ["a.num_batches_tracked", *(f"x{i}" for i in range(9))]
    assert list_names(names) == "x0, x1, x2, x3, x4, x5 and 4 more"
    assert list_names(names[:3]) == "x0, x1, a.num_batches_tracked"


def test_an_unknown_library_is_refused_with_the_known_ones():
    with pytest.raises(
        ValueError, match=r"no convention 'keras' of 'resnet'; choose one of \[\('torchvision or"
    ):
        to_library_arrays({}, title="keras", family="resnet")


def _without(arrays, ending):
    return {name: array for name, array in arrays.items() if not name.endswith(ending)}


RELATIVES = {
    "resnet50d": (
        lambda a: _without(a, "0.downsample.0.weight") | {"conv1.0.weight": np.ones((2, 3, 3, 3))},
        r"its stem is of several convolutions.* \((visual\.)?conv1\.0\.weight\); name weights of a plain",
    ),
    "clip_rn50": (lambda a: a | {"attnpool.q_proj.weight": np.ones((2, 2))}, r"the ResNet of CLIP"),
    "seresnet50": (lambda a: a | {"layer1.0.se.fc1.weight": np.ones((2, 2, 1, 1))}, r"an SE- or ECA-ResNet"),
    "legacy_seresnet50": (lambda a: a | {"layer1.0.se_module.fc1.bias": np.ones(2)}, r"an SE- or ECA-ResNet"),
    "res2net50": (lambda a: a | {"layer1.0.convs.0.weight": np.ones((2, 2, 3, 3))}, r"a Res2Net"),
    "resnet50_gn": (
        lambda a: _without(a, ("running_mean", "running_var")),
        r"bn1\.running_mean\): group normalisation",
    ),
    "resnext50": (
        lambda a: a | {"layer1.0.conv2.weight": np.ones((4, 1, 3, 3))},
        r"grouped \(.*layer1\.0\.conv2\.weight is \[4, 1, 3, 3\]\): a ResNeXt",
    ),
    "wide_resnet50_2": (
        lambda a: (
            a
            | {
                "layer1.0.conv1.weight": np.ones((8, 4, 1, 1)),
                "layer1.0.conv2.weight": np.ones((8, 8, 3, 3)),
            }
        ),
        r"conv2\.weight is \[8, 8, 3, 3\]\): a wide ResNet",
    ),
}


@pytest.mark.parametrize("kind", RELATIVES)
@pytest.mark.parametrize("prefix", ["", "visual."])
def test_a_relative_of_the_resnet_is_refused_by_what_it_has(arrays, kind, prefix):
    make, message = RELATIVES[kind]
    other = {prefix + name: array for name, array in make(arrays).items()}
    with pytest.raises(WeightsError, match=message):
        match_weights(other, LIKE, family="resnet")


def test_the_backbone_of_a_relative_is_not_proposed(arrays):
    other = arrays | {"attnpool.q_proj.weight": np.ones((2, 2))}
    assert "not built here: it pools by attention" in refusal(other, family="clip")


# --- transformers

TINY = {"width": 8, "depth": 1, "heads": 2}


def refusal_of_vit(arrays, *, kind="vit", grid=(14, 14)) -> str:
    like = variable_shapes(ViT(kind=kind, **TINY), (224, 224))
    with pytest.raises(WeightsError) as refused:
        match_weights(arrays, like, family=kind, grid=grid)
    return str(refused.value)


@pytest.fixture
def vit() -> dict[str, np.ndarray]:
    return numpy_state(stir(TimmViT(dim=8, depth=1, heads=2)))


def test_a_second_token_is_left_over(vit):
    vit["dist_token"] = np.zeros((1, 1, 8))
    assert "1 left over: dist_token" in refusal_of_vit(vit)


def test_a_patch_of_another_size_is_mis_shaped(vit):
    vit["patch_embed.proj.weight"] = np.zeros((8, 3, 32, 32))
    assert "patch_embed.proj.weight is [8, 3, 32, 32] instead of [8, 3, 16, 16]" in refusal_of_vit(vit)


def test_positions_without_a_class_token_are_refused(vit):
    vit["pos_embed"] = vit["pos_embed"][:, 1:]
    assert "its 196 position embeddings are not a class token's and" in refusal_of_vit(vit)


def test_query_key_and_value_of_different_shapes_are_mis_shaped(vit):
    like = variable_shapes(ViT(**TINY), (224, 224))
    variables = match_weights(vit, like, family="vit", grid=(14, 14)).variables
    theirs = to_library_arrays(variables, title="Hugging Face", family="vit")
    name = "encoder.layer.0.attention.attention.key.weight"
    theirs[name] = theirs[name][:, :4]
    assert "key.weight and " in refusal_of_vit(theirs)
    assert "is [8, 8] and [8, 4] and [8, 8] instead of [8, 8] and [8, 8] and [8, 8]" in refusal_of_vit(theirs)


def test_clip_is_not_taken_for_a_vit():
    clip = numpy_state(OpenAIVisual(dim=8, depth=1, heads=2, projection=4))
    message = refusal_of_vit(clip)
    assert (
        "this is a clip with the names of OpenAI, and config.model.backbone is 'vit'; set that to 'clip'"
        in message
    )


@pytest.fixture
def timm_clip() -> dict[str, np.ndarray]:
    arrays = numpy_state(stir(TimmClip(dim=8, depth=1, heads=2, projection=4)))
    return arrays | {"head.bias": np.zeros(4)}


def test_timm_s_clip_is_not_taken_for_its_vit(timm_clip):
    message = refusal_of_vit(timm_clip)
    assert "this is a clip with the names of timm, and config.model.backbone is 'vit'" in message


@pytest.mark.parametrize(("projection", "unused"), [(0, {"head.weight", "head.bias"}), (4, {"head.bias"})])
def test_the_projection_of_timm_s_clip_is_its_head(timm_clip, projection, unused):
    like = variable_shapes(ViT(kind="clip", projection=projection, **TINY), (224, 224))
    fitted = match_weights(timm_clip, like, family="clip", grid=(14, 14))
    assert (fitted.title, set(fitted.unused)) == ("timm", unused)


def test_a_classifier_is_not_taken_for_the_projection_of_timm_s_clip(timm_clip):
    like = variable_shapes(ViT(kind="clip", projection=4, **TINY), (224, 224))
    with pytest.raises(WeightsError, match=r"head\.bias is not zero: a classifier's, not a projection's"):
        match_weights(timm_clip | {"head.bias": np.ones(4)}, like, family="clip", grid=(14, 14))
