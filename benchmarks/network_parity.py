"""How far our networks are from the libraries' under the same weights: python -m benchmarks.network_parity.

Prints a table of the largest relative errors at full size. Features are those of evaluation, gradients those of a
forward and backward pass in training mode of Σ features · random numbers, by every parameter. An array's error is
its largest difference over its largest number, and the worst array counts. Where a grid of positions is resampled,
the gradient by the positions is left out: theirs is that of the square grid. The last column is what the library's
gradients in float32 differ by from its own in float64: the rounding that any gradient in float32 has there.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import torch
from transformers import PreTrainedModel

from man_jax.networks.pretrained.matching import match_weights
from man_jax.networks.resnet import ResNet
from man_jax.networks.vit import ViT
from tests.networks.pretrained import libraries
from tests.oracles.precision import DOUBLE, SINGLE, Precision, evaluate
from tests.oracles.torch_weights import (
    as_torch,
    drawn_images,
    numpy_state,
    relative_error,
    saved_state,
    variable_shapes,
)

BATCH = 2
SIZES = ((256, 128), (224, 224))
BASE, SMALL = {"width": 768, "depth": 12, "heads": 12}, {"width": 384, "depth": 12, "heads": 6}


class Member(NamedTuple):
    """A network of ours and the same of a library."""

    name: str
    family: str
    ours: ResNet | ViT
    make: Callable[[], Any]
    of_output: Callable[[Any], torch.Tensor] = lambda output: output
    keywords: tuple[tuple[str, Any], ...] = ()
    """What the library's network is to be told besides the images."""


def resnet(name: str, make: Callable, block: Any, *stage_sizes: int, width: int = 64) -> Member:
    """Make a ResNet with the libraries' stride 2 in the last stage."""
    network = ResNet(stage_sizes=stage_sizes, width=width, block=block, last_stride=2, form="taps")
    own = {"last_stride": 2} if make is libraries.torchvision else {}
    pooled = (lambda y: y) if own else (lambda y: y.pooler_output.flatten(1))
    return Member(name, "resnet", network, lambda: make(block, stage_sizes, width=width, **own), pooled)


def transformer(name: str, make: Callable, kind: Any, **shape: int) -> Member:
    """Make a transformer of timm, OpenAI or Hugging Face; the last alone must be told to resample its positions."""
    of_output: Callable = lambda y: y  # noqa: E731
    epsilon, keywords = 0.0, ()
    if make in (libraries.huggingface_vit, libraries.huggingface_clip):
        keywords = (("interpolate_pos_encoding", True),)
        of_output = lambda y: y.image_embeds if kind == "clip" else y.last_hidden_state[:, 0]  # noqa: E731
        epsilon = 0.0 if kind == "clip" else 1e-12
    network = ViT(kind=kind, epsilon=epsilon, **shape)
    return Member(name, kind, network, lambda: make(**shape), of_output, keywords)


def members() -> tuple[Member, ...]:
    """List the networks at full size."""
    clip = {**BASE, "projection": 512}
    return (
        resnet("ResNet-18, torchvision and timm", libraries.torchvision, "basic", 2, 2, 2, 2),
        resnet("ResNet-50, torchvision and timm", libraries.torchvision, "bottleneck", 3, 4, 6, 3),
        resnet("ResNet-50, Hugging Face", libraries.huggingface_resnet, "bottleneck", 3, 4, 6, 3),
        transformer("ViT-S/16, timm", libraries.timm_vit, "vit", **SMALL),
        transformer("ViT-B/16, timm", libraries.timm_vit, "vit", **BASE),
        transformer("ViT-B/16, Hugging Face", libraries.huggingface_vit, "vit", **BASE),
        transformer("CLIP ViT-B/16, OpenAI", libraries.openai_clip, "clip", **clip),
        transformer("CLIP ViT-B/16, timm", libraries.timm_clip, "clip", **clip),
        transformer("CLIP ViT-B/16, Hugging Face", libraries.huggingface_clip, "clip", **clip),
    )


def features(variables, images, *, network, train=False):
    """Compute the features of our network."""
    return network.apply(variables, images, train=train, mutable=["batch_stats"])[0]


def slope(variables, images, weights, *, network):
    """Compute the gradient of Σ features · weights in training mode, by every variable."""
    return jax.grad(lambda v: (features(v, images, network=network, train=True) * weights).sum())(variables)


class Found(NamedTuple):
    """Errors of the features and of the gradients, and the library's gradients in our places."""

    features: float
    gradients: float
    theirs: Any


def compare(member: Member, image_size: tuple[int, int], precision: Precision) -> Found:
    """Measure our network against the library's, both computing in that precision."""
    theirs = member.make().to(getattr(torch, precision.dtype))
    variables = _in_our_places(member, theirs, image_size)
    images = drawn_images(BATCH, image_size)
    weights = np.random.default_rng(1).normal(size=(BATCH, member.ours.dim))
    call = dict(member.keywords)
    with torch.no_grad():
        expected = member.of_output(theirs(as_torch(images, precision.dtype), **call)).numpy()
    actual = evaluate(features, variables, images, precision=precision, network=member.ours)
    output = member.of_output(theirs.train()(as_torch(images, precision.dtype), **call))
    (output * torch.from_numpy(weights.astype(precision.dtype))).sum().backward()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(torch.zeros(()) if parameter.grad is None else parameter.grad)
    expected_slope = _in_our_places(member, theirs, image_size)["params"]
    slopes = evaluate(slope, variables, images, weights, precision=precision, network=member.ours)["params"]
    if member.family != "resnet" and len(set(member.ours.grid(image_size))) > 1:
        del expected_slope["position"], slopes["position"]
    return Found(relative_error(actual, expected), worst_error(slopes, expected_slope), expected_slope)


def worst_error(actual: Any, expected: Any) -> float:
    """Find the largest of the arrays' errors."""
    return max(jax.tree.leaves(jax.tree.map(relative_error, actual, expected)))


def table(chosen: tuple[Member, ...], sizes: tuple[tuple[int, int], ...] = SIZES) -> Iterator[str]:
    """Yield the lines of the table in Markdown."""
    yield (
        "| network, names | image | features, float32 | float64 | gradients, float32 | float64 "
        "| the library's own float32 |"
    )
    yield "|---|---|---:|---:|---:|---:|---:|"
    for member in chosen:
        for size in sizes:
            single, double = (compare(member, size, precision) for precision in (SINGLE, DOUBLE))
            numbers = (
                *(single.features, double.features),
                *(single.gradients, double.gradients),
                worst_error(single.theirs, double.theirs),
            )
            cells = " | ".join(f"{number:.1e}" for number in numbers)
            yield f"| {member.name} | {size[0]}×{size[1]} | {cells} |"


def _in_our_places(member: Member, theirs: Any, image_size: tuple[int, int]) -> Any:
    """Take the library's parameters and statistics in double precision."""
    if isinstance(theirs, PreTrainedModel):
        with tempfile.TemporaryDirectory() as folder:
            arrays = saved_state(theirs, Path(folder))
    else:
        arrays = numpy_state(theirs)
    if "head.bias" in arrays and member.family == "clip":
        arrays["head.bias"] = np.zeros(())  # its gradient, unlike itself, is not zero
    like = variable_shapes(member.ours, image_size, dtype="float64")
    grid = member.ours.grid(image_size) if isinstance(member.ours, ViT) else None
    return dict(match_weights(arrays, like, family=member.family, grid=grid).variables)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="a part of the name, e.g. timm")
    only = parser.parse_args().only
    for line in table(tuple(member for member in members() if only in member.name)):
        print(line, flush=True)
