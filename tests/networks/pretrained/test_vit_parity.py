"""With the same weights, our ViT and CLIP and the libraries' give the same features and the same gradients."""

from functools import partial

import jax
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from man_jax.networks.pretrained.matching import to_library_arrays
from man_jax.networks.vit import ViT
from tests.networks.pretrained.libraries import (
    huggingface_clip,
    huggingface_vit,
    openai_clip,
    timm_clip,
    timm_vit,
)
from tests.oracles.precision import DOUBLE, SINGLE, evaluate
from tests.oracles.torch_networks import OpenAIClip, stir
from tests.oracles.torch_weights import (
    as_torch,
    drawn_images,
    numpy_state,
    ours,
    relative_error,
    saved_state,
)

TOLERANCE = {SINGLE: 1e-4, DOUBLE: 1e-9}
NARROW = {"width": 24, "depth": 2, "heads": 3}
BASE, SMALL = {"width": 768, "depth": 12, "heads": 12}, {"width": 384, "depth": 12, "heads": 6}
HUGGING_FACE_EPSILON = 1e-12
sizes = pytest.mark.parametrize("image_size", [(256, 128), (224, 224)], ids=["256x128", "224x224"])
precisions = pytest.mark.parametrize("precision", [SINGLE, DOUBLE], ids=str)


def features(variables, images, **network):
    return ViT(**network).apply(variables, images, train=False)


def our_features(arrays, images, precision, **network) -> np.ndarray:
    backbone = ViT(**network)
    variables = ours(arrays, backbone, images.shape[1:3], family=backbone.kind)
    return evaluate(features, variables, images, precision=precision, **network)


def torch_features(network, images, precision, **keywords):
    with torch.no_grad():
        return network.to(getattr(torch, precision.dtype))(as_torch(images, precision.dtype), **keywords)


@pytest.mark.parametrize("shape", [BASE, SMALL], ids=["B16", "S16"])
def test_vit_has_timm_s_features_at_full_size(shape):
    theirs, images = timm_vit(**shape), drawn_images(1, (256, 128))
    actual = our_features(numpy_state(theirs), images, SINGLE, **shape)
    assert relative_error(actual, torch_features(theirs, images, SINGLE).numpy()) < TOLERANCE[SINGLE]


def test_clip_has_openai_s_features_at_full_size():
    theirs, images = openai_clip(**BASE, projection=512), drawn_images(1, (256, 128))
    actual = our_features(numpy_state(theirs), images, SINGLE, kind="clip", projection=512, **BASE)
    assert actual.shape == (1, 512)
    assert relative_error(actual, torch_features(theirs, images, SINGLE).numpy()) < TOLERANCE[SINGLE]


@precisions
@pytest.mark.parametrize("stride", [16, 12])
@sizes
def test_a_narrow_vit_has_timm_s_features(image_size, stride, precision):
    theirs, images = timm_vit(**NARROW, stride=stride), drawn_images(2, image_size)
    actual = our_features(numpy_state(theirs.double()), images, precision, stride=stride, **NARROW)
    expected = torch_features(theirs, images, precision).numpy()
    assert relative_error(actual, expected) < TOLERANCE[precision]


@precisions
@sizes
def test_a_narrow_vit_has_hugging_face_s_features(tmp_path, image_size, precision):
    theirs, images = huggingface_vit(**NARROW), drawn_images(2, image_size)
    arrays = saved_state(theirs.double(), tmp_path)
    actual = our_features(arrays, images, precision, epsilon=HUGGING_FACE_EPSILON, **NARROW)
    expected = torch_features(theirs, images, precision, interpolate_pos_encoding=True)
    assert relative_error(actual, expected.last_hidden_state[:, 0].numpy()) < TOLERANCE[precision]


@precisions
@sizes
@pytest.mark.parametrize("projection", [16, 0])
def test_a_narrow_clip_has_hugging_face_s_features(tmp_path, projection, image_size, precision):
    theirs, images = huggingface_clip(**NARROW), drawn_images(2, image_size)
    arrays = saved_state(theirs.double(), tmp_path)
    actual = our_features(arrays, images, precision, kind="clip", projection=projection, **NARROW)
    if projection:
        expected = torch_features(theirs, images, precision, interpolate_pos_encoding=True).image_embeds
    else:
        vision = theirs.vision_model
        expected = torch_features(vision, images, precision, interpolate_pos_encoding=True).pooler_output
    assert relative_error(actual, expected.numpy()) < TOLERANCE[precision]


@precisions
@sizes
@pytest.mark.parametrize("projection", [16, 0])
def test_a_narrow_clip_has_openai_s_features(projection, image_size, precision):
    theirs, images = openai_clip(**NARROW), drawn_images(2, image_size)
    arrays = numpy_state(OpenAIClip(theirs).double())
    actual = our_features(arrays, images, precision, kind="clip", projection=projection, **NARROW)
    expected = torch_features(theirs, images, precision, project=bool(projection)).numpy()
    assert relative_error(actual, expected) < TOLERANCE[precision]


@precisions
@sizes
@pytest.mark.parametrize("projection", [16, 0])
def test_a_narrow_clip_has_timm_s_features(projection, image_size, precision):
    theirs, images = timm_clip(**NARROW), drawn_images(2, image_size)
    arrays = numpy_state(theirs.double())
    actual = our_features(arrays, images, precision, kind="clip", projection=projection, **NARROW)
    expected = torch_features(theirs, images, precision, project=bool(projection)).numpy()
    assert relative_error(actual, expected) < TOLERANCE[precision]


def test_a_clip_may_have_the_exact_gelu():
    theirs, images = timm_clip(**NARROW, act=torch.nn.GELU).double(), drawn_images(2, (224, 224))
    expected = torch_features(theirs, images, DOUBLE).numpy()
    network = {"kind": "clip", "projection": 16, **NARROW}
    actual = our_features(numpy_state(theirs), images, DOUBLE, activation="gelu", **network)
    assert relative_error(actual, expected) < TOLERANCE[DOUBLE]
    assert relative_error(our_features(numpy_state(theirs), images, DOUBLE, **network), expected) > 1e-4


# --- gradients

libraries = pytest.mark.parametrize(
    ("kind", "title", "make"),
    [("vit", "timm", timm_vit), ("clip", "OpenAI", openai_clip), ("clip", "timm", timm_clip)],
    ids=["vit-timm", "clip-openai", "clip-timm"],
)


def slope(variables, images, weights, **network):
    def loss(variables):
        return (features(variables, images, **network) * weights).sum()

    return jax.value_and_grad(loss)(variables)


@libraries
def test_gradients_are_those_of_the_library(kind, title, make):
    theirs, images = make(**NARROW).double(), drawn_images(2, (224, 224))
    network = {"kind": kind, "projection": 16 if kind == "clip" else 0, **NARROW}
    weights = np.random.default_rng(1).normal(size=(2, ViT(**network).dim))
    variables = ours(numpy_state(theirs), ViT(**network), (224, 224), family=kind)
    value, gradient = evaluate(slope, variables, images, weights, **network)
    loss = (theirs(as_torch(images)) * torch.from_numpy(weights)).sum()
    loss.backward()
    assert value == pytest.approx(loss.item(), rel=1e-9)
    named = to_library_arrays(gradient, title=title, family=kind)
    for name, parameter in theirs.named_parameters():
        if name != "head.bias" and (kind, name) != ("vit", "head.weight"):
            assert relative_error(named[name], parameter.grad.numpy()) < 1e-9, name


# --- export


@libraries
def test_what_is_exported_loads_strictly(kind, title, make):
    theirs, other = make(**NARROW).double(), stir(make(**NARROW).double(), seed=1)
    if kind == "vit":
        theirs.head = other.head = torch.nn.Identity()
    network = ViT(kind=kind, projection=16 if kind == "clip" else 0, **NARROW)
    exported = to_library_arrays(
        ours(numpy_state(theirs), network, (224, 224), family=kind), title=title, family=kind
    )
    other.load_state_dict({name: torch.from_numpy(array) for name, array in exported.items()}, strict=True)
    for name, array in numpy_state(theirs).items():
        np.testing.assert_array_equal(numpy_state(other)[name], array, err_msg=name)


@pytest.mark.parametrize(("kind", "make"), [("vit", huggingface_vit), ("clip", huggingface_clip)])
@pytest.mark.filterwarnings("ignore")
def test_what_is_exported_for_hugging_face_is_read_there_whole(tmp_path, kind, make):
    theirs = make(**NARROW)
    network = ViT(kind=kind, projection=16 if kind == "clip" else 0, **NARROW)
    variables = ours(saved_state(theirs, tmp_path), network, (224, 224), family=kind)
    exported = to_library_arrays(variables, title="Hugging Face", family=kind)
    tensors = {name: torch.from_numpy(array.astype("f4")) for name, array in exported.items()}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    load = partial(type(theirs).from_pretrained, tmp_path, output_loading_info=True)
    other, report = load(add_pooling_layer=False) if kind == "vit" else load()
    assert {name: list(found) for name, found in report.items() if found} == {}
    for name, array in numpy_state(theirs).items():
        np.testing.assert_array_equal(numpy_state(other)[name], array, err_msg=name)
