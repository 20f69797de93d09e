"""Make the content of a file that holds the backbone of one branch, in the names of another library."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from man_jax.config import Config, ConfigError
from man_jax.networks.pretrained.matching import to_library_arrays
from man_jax.networks.three_branch import backbone_of

TITLES = {"resnet": "torchvision or timm", "vit": "timm", "clip": "OpenAI", "msinet": "MSINet's code"}
"""The library whose names the arrays of each backbone get."""


def check_out(out: Path) -> None:
    """Check the name of the file to write; ConfigError if it is of another kind."""
    if out.suffix != ".safetensors":
        raise ConfigError(f"--out {out}: name a file that ends in .safetensors")


def named_branch(modality: str | None, config: Config, workdir: Path) -> int:
    """Find the place of the branch of a modality, or of the only branch; ConfigError if there is no such branch."""
    branches = list(config.model.modalities)
    name = modality or (branches[0] if len(branches) == 1 else None)
    if name not in branches:
        told = f"--modality {name}" if name else "--modality is missing"
        raise ConfigError(f"{told}; choose one of {', '.join(branches)}, the branches of {workdir}")
    return branches.index(name)


def written(config: Config, variables: Any, description: str, *, place: int, half: bool) -> bytes:
    """Make the content of the file: the backbone of the branch at `place`, in another library's names."""
    family = config.model.backbone
    arrays = to_library_arrays(backbone_of(variables, place), title=TITLES[family], family=family)
    kind = np.float16 if half else np.float32
    arrays = {name: np.ascontiguousarray(array, kind) for name, array in arrays.items()}
    return _in_order(save(arrays, metadata=about(config, place, description)))


def _in_order(content: bytes) -> bytes:
    """Sort the metadata of a .safetensors file, whose order the library leaves to chance."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode().ljust(size)
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def about(config: Config, place: int, description: str) -> dict[str, str]:
    """Tell in words of the file's header what its weights are and how their images were made."""
    height, width = config.data.image_size
    return {
        "format": "pt",
        "experiment": config.experiment,
        "weights": description,
        "modality": config.model.modalities[place],
        "image_size": f"{height}x{width}",
        "mean": str(tuple(config.augment.mean)),
        "std": str(tuple(config.augment.std)),
    }
