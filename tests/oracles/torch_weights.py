"""Between PyTorch's modules and our variables, in tests: states as arrays, images in both orders of axes."""

from typing import Any

import jax
import numpy as np
import torch
from torch import nn

from man_jax.networks.pretrained.fit import fit


def numpy_state(network: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy().copy() for name, tensor in network.state_dict().items()}


def variable_shapes(backbone: Any, image_size: tuple[int, int] = (32, 32), *, dtype: str = "float32") -> Any:
    """{params, batch_stats} of a backbone, as shapes."""
    image = jax.ShapeDtypeStruct((1, *image_size, 3), dtype)
    shapes = jax.eval_shape(lambda key, x: backbone.init(key, x, train=False), jax.random.key(0), image)
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), dict(shapes))


def ours(network: nn.Module, backbone: Any, image_size: tuple[int, int], *, family: str) -> Any:
    """Our variables with the weights of theirs, in double precision."""
    like = variable_shapes(backbone, image_size, dtype="float64")
    return fit(numpy_state(network.double()), like, family=family).variables


def drawn_images(batch: int, image_size: tuple[int, int], *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(batch, *image_size, 3))


def as_torch(images: np.ndarray, dtype: str = "float64") -> torch.Tensor:
    """[B, H, W, 3] → [B, 3, H, W]."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2).astype(dtype))
