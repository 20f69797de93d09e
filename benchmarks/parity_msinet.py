"""How far our MSINet is from its public code: python -m benchmarks.parity_msinet --code CHECKOUT.

CHECKOUT is a copy of github.com/vimar-gu/MSINet. Both networks get the same random weights and images, in single
precision, in evaluation: its features are the pooled maps of the last cells, and those of the halves. The error is
the largest difference, also relative to the largest feature. Gradients of a sum of the features times random
numbers, in training and in double precision, are compared by every parameter.
"""

import argparse
import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import jax
import numpy as np
import torch

from man_jax.networks.msinet import MSINet
from man_jax.networks.pretrained.matching import match_weights, to_library_arrays
from tests.oracles.torch_networks import stir
from tests.oracles.torch_weights import (
    as_torch,
    drawn_images,
    numpy_state,
    relative_error,
    variable_shapes,
)

SIZES = ((256, 128), (256, 256), (128, 128))
HALVES = 128
NETWORK = MSINet(half_channels=HALVES, form="lax")
HEADS = ("head.", "fc.", "classifier.", "f_head.", "f_fc.", "f_classifier.")


def public_network(folder: Path) -> Any:
    """Make the public code's network with random weights."""
    for name in ("reid", "reid.models"):
        package = ModuleType(name)
        package.__path__ = [str(folder / name.replace(".", "/"))]
        sys.modules[name] = package
    sys.modules["reid.utils"] = ModuleType("reid.utils")
    sys.modules["reid.utils.serialization"] = serialization = ModuleType("reid.utils.serialization")
    serialization.copy_state_dict = None  # type: ignore[attr-defined]
    arguments = SimpleNamespace(genotypes="msmt", sam_mode="none", pretrained=False)
    network = stir(importlib.import_module("reid.models.msinet").msinet_x1_0(arguments, num_classes=10))
    with torch.no_grad():  # an attention of no weight would be compared with nothing
        for name, parameter in network.named_parameters():
            if name.endswith("gamma"):
                parameter.fill_(0.7)
    return network


def ours(network: Any, image_size: tuple[int, int], dtype: str) -> Any:
    """Give our network the public code's weights, read by their names."""
    like = variable_shapes(NETWORK, image_size, dtype=dtype)
    return match_weights(numpy_state(network), like, family="msinet").variables


def features(network: Any, image_size: tuple[int, int]) -> tuple[float, float]:
    """Compare the features of evaluation in single precision: (largest difference, relative to the largest)."""
    images = drawn_images(2, image_size).astype(np.float32)
    with torch.no_grad():
        expected = network.float().eval()(as_torch(images, "float32")).numpy()
    run = jax.jit(lambda variables, images: NETWORK.apply(variables, images, train=False))
    actual = np.asarray(run(ours(network, image_size, "float32"), images))
    return float(np.abs(actual - expected).max()), relative_error(actual, expected)


def gradients(network: Any, image_size: tuple[int, int]) -> float:
    """Compare the gradients of training in double precision: the largest relative error of an array."""
    network.double().train()
    images, weights = drawn_images(4, image_size), np.random.default_rng(1).normal(size=(4, NETWORK.dim))
    pooled, _, halves, *_ = network(as_torch(images))
    network.zero_grad()
    (torch.cat((pooled, halves), dim=1) * torch.tensor(weights)).sum().backward()
    with jax.enable_x64(True):
        variables = ours(network, image_size, "float64")

        def total(params: Any) -> Any:
            given = {**variables, "params": params}
            return (NETWORK.apply(given, images, train=True, mutable=["batch_stats"])[0] * weights).sum()

        slope = jax.jit(jax.grad(total))(variables["params"])
    found = to_library_arrays(
        {"params": slope, "batch_stats": variables["batch_stats"]}, title="MSINet's code", family="msinet"
    )
    return max(
        relative_error(found[name], parameter.grad.numpy())
        for name, parameter in network.named_parameters()
        if not name.startswith(HEADS)
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--code", type=Path, required=True, help="the folder of the public code")
    theirs = public_network(parser.parse_args().code)
    count = sum(
        parameter.numel() for name, parameter in theirs.named_parameters() if "classifier" not in name
    )
    own = jax.tree.leaves(variable_shapes(NETWORK)["params"])
    print(
        f"parameters: {sum(leaf.size for leaf in own)} of ours, {count} of theirs with the embeddings of its heads"
    )
    print("| images | features: largest difference | relative |", "|---|---|---|", sep="\n")
    for size in SIZES:
        difference, relative = features(theirs, size)
        print(f"| {size[0]}×{size[1]} | {difference:.1e} | {relative:.1e} |", flush=True)
    print(f"gradients, 64×32, double precision: {gradients(theirs, (64, 32)):.1e}")
