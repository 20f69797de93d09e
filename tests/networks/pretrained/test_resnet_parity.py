"""With the same weights, our ResNet and the libraries' give the same features and the same gradients."""

import jax
import numpy as np
import pytest
import torch

from man_jax.networks.pretrained.matching import to_library_arrays
from man_jax.networks.resnet import EXPANSION, ResNet
from tests.networks.pretrained.libraries import BLOCKS, huggingface_resnet, torchvision
from tests.oracles.precision import DOUBLE, SINGLE, evaluate
from tests.oracles.torch_networks import stir
from tests.oracles.torch_weights import as_torch, drawn_images, numpy_state, ours, relative_error

TOLERANCE = {SINGLE: 1e-4, DOUBLE: 1e-9}
RESNET50 = (3, 4, 6, 3)
sizes = pytest.mark.parametrize("image_size", [(256, 128), (224, 224)], ids=["256x128", "224x224"])
precisions = pytest.mark.parametrize("precision", [SINGLE, DOUBLE], ids=str)
blocks = pytest.mark.parametrize("block", BLOCKS)


def features(variables, images, *, train=False, **network):
    return ResNet(**network).apply(variables, images, train=train, mutable=["batch_stats"])[0]


def our_features(theirs, images, precision, **network) -> np.ndarray:
    variables = ours(numpy_state(theirs.double()), ResNet(**network), images.shape[1:3], family="resnet")
    return evaluate(features, variables, images, precision=precision, **network)


def torch_features(network, images, precision) -> np.ndarray:
    with torch.no_grad():
        found = network.to(getattr(torch, precision.dtype))(as_torch(images, precision.dtype))
    return (found if isinstance(found, torch.Tensor) else found.pooler_output.flatten(1)).numpy()


@sizes
def test_resnet50_has_torchvision_s_features_at_full_size(image_size):
    theirs = torchvision("bottleneck", RESNET50, width=64)
    images = drawn_images(1, image_size)
    actual = our_features(theirs, images, SINGLE, stage_sizes=RESNET50, form="taps")
    assert relative_error(actual, torch_features(theirs, images, SINGLE)) < TOLERANCE[SINGLE]


@precisions
@sizes
@blocks
def test_a_narrow_resnet_has_torchvision_s_features(block, image_size, precision):
    """Ours has stride 1 in the last stage, as customary in ReID; Hugging Face's below has 2."""
    shape = {"stage_sizes": (1, 2, 1, 1), "width": 8, "last_stride": 1}
    theirs = torchvision(block, **shape)
    images = drawn_images(2, image_size)
    actual = our_features(theirs, images, precision, form="lax", block=block, **shape)
    assert relative_error(actual, torch_features(theirs, images, precision)) < TOLERANCE[precision]


@precisions
@sizes
@blocks
def test_a_narrow_resnet_has_hugging_face_s_features(block, image_size, precision):
    shape = {"stage_sizes": (1, 2, 1, 1), "width": 8}
    theirs = huggingface_resnet(block, **shape)
    images = drawn_images(2, image_size)
    actual = our_features(theirs, images, precision, form="lax", block=block, last_stride=2, **shape)
    assert relative_error(actual, torch_features(theirs, images, precision)) < TOLERANCE[precision]


def weighted_sum(variables, images, weights, **network):
    return (features(variables, images, train=True, **network) * weights).sum()


def slope(variables, images, weights, **network):
    return jax.value_and_grad(weighted_sum)(variables, images, weights, **network)


@blocks
def test_training_gives_torchvision_s_gradients(block):
    shape = {"stage_sizes": (1, 2), "width": 8}
    theirs = torchvision(block, **shape).double().train()
    images = drawn_images(4, (64, 32))
    weights = np.random.default_rng(1).normal(size=(4, 16 * EXPANSION[block]))
    variables = ours(numpy_state(theirs.double()), ResNet(block=block, **shape), (64, 32), family="resnet")
    value, gradient = evaluate(
        slope, variables, images, weights, form="taps", block=block, last_stride=2, **shape
    )
    loss = (theirs(as_torch(images)) * torch.from_numpy(weights)).sum()
    loss.backward()
    assert value == pytest.approx(loss.item(), rel=1e-9)
    named = to_library_arrays({"params": gradient["params"]}, title="torchvision or timm", family="resnet")
    for name, parameter in theirs.named_parameters():
        if not name.startswith("fc."):
            assert relative_error(named[name], parameter.grad.numpy()) < 1e-9, name


@blocks
@pytest.mark.parametrize("library", ["torchvision or timm", "Hugging Face"])
def test_what_is_exported_is_what_was_imported_and_loads_strictly(block, library):
    shape = {"stage_sizes": (1, 2, 1, 1), "width": 8}
    make = torchvision if library == "torchvision or timm" else huggingface_resnet
    theirs, other = (make(block, **shape).double() for _ in range(2))
    stir(other, seed=1)
    variables = ours(numpy_state(theirs.double()), ResNet(block=block, **shape), (32, 32), family="resnet")
    exported = to_library_arrays(variables, title=library, family="resnet")
    other.fc = theirs.fc = torch.nn.Identity()
    other.load_state_dict({name: torch.from_numpy(array) for name, array in exported.items()}, strict=True)
    for name, array in numpy_state(theirs).items():
        np.testing.assert_array_equal(numpy_state(other)[name], array, err_msg=name)
