"""Between PyTorch's modules and our variables, in tests: states as arrays, images in both orders of axes."""

import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch
from torch import nn

from man_jax.networks.pretrained.files import read_arrays
from man_jax.networks.pretrained.matching import match_weights


def numpy_state(network: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy().copy() for name, tensor in network.state_dict().items()}


def variable_shapes(backbone: Any, image_size: tuple[int, int] = (32, 32), *, dtype: str = "float32") -> Any:
    """{params, batch_stats} of a backbone, as shapes."""
    image = jax.ShapeDtypeStruct((1, *image_size, 3), dtype)
    shapes = jax.eval_shape(lambda key, x: backbone.init(key, x, train=False), jax.random.key(0), image)
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), dict(shapes))


def ours(arrays: dict[str, np.ndarray], backbone: Any, image_size: tuple[int, int], *, family: str) -> Any:
    """Our variables with the weights of theirs, in double precision."""
    like = variable_shapes(backbone, image_size, dtype="float64")
    grid = backbone.grid(image_size) if hasattr(backbone, "grid") else None
    return match_weights(arrays, like, family=family, grid=grid).variables


def saved_state(network: Any, folder: Path) -> dict[str, np.ndarray]:
    """A network of transformers as its file has it; in memory it has other names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.save_pretrained(folder)
    return read_arrays(folder / "model.safetensors")


def relative_error(actual: np.ndarray, expected: np.ndarray) -> float:
    """Of whole arrays: the largest difference over the largest number."""
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def drawn_images(batch: int, image_size: tuple[int, int], *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(batch, *image_size, 3))


def as_torch(images: np.ndarray, dtype: str = "float64") -> torch.Tensor:
    """[B, H, W, 3] → [B, 3, H, W]."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2).astype(dtype))
