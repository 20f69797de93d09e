"""Make the content of a file that holds one branch or a whole run, in the names of another library."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from man_jax.config import Config, ConfigError
from man_jax.networks.pretrained.matching import to_library_arrays
from man_jax.networks.pretrained.run_names import to_run_arrays
from man_jax.networks.three_branch import backbone_of

TITLES = {"resnet": "torchvision or timm", "vit": "timm", "clip": "OpenAI", "msinet": "MSINet's code"}
"""The library whose names the arrays of each backbone get."""


def named_branch(modality: str | None, config: Config, workdir: Path) -> int | None:
    """Find the place of the branch of a modality, or of the only branch; ConfigError if there is no such branch.

    None stands for all of several branches, if no modality is named.
    """
    branches = list(config.model.modalities)
    if not modality:
        return 0 if len(branches) == 1 else None
    if modality not in branches:
        raise ConfigError(
            f"--modality {modality}; choose one of {', '.join(branches)}, the branches of {workdir}, or leave "
            f"--modality out for all of them"
        )
    return branches.index(modality)


def written(facts: Mapping[str, Any], variables: Any, *, place: int | None, half: bool) -> bytes:
    """Make the content of the file, in another library's names; `facts` are those of `network_facts`.

    It holds the backbone of the branch at `place`, or, if that is None, every branch with its neck.
    """
    family, modalities = facts["backbone"], facts["modalities"]
    names = {"title": TITLES[family], "family": family}
    if place is None:
        arrays = to_run_arrays(variables, modalities, **names)
    else:
        arrays = to_library_arrays(backbone_of(variables, place), **names)
    kind = np.float16 if half else np.float32
    arrays = {name: np.ascontiguousarray(array, kind) for name, array in arrays.items()}
    return _in_order(save(arrays, metadata=about(facts, "" if place is None else modalities[place])))


def _in_order(content: bytes) -> bytes:
    """Sort the metadata of a .safetensors file, whose order the library leaves to chance."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode().ljust(size)
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def about(facts: Mapping[str, Any], modality: str) -> dict[str, str]:
    """Write the facts of a network in words of the file's header; `modality` is the branch's, "" of a whole run's."""
    height, width = facts["image_size"]
    told = {
        "format": "pt",
        "image_size": f"{height}x{width}",
        "mean": str(tuple(facts["mean"])),
        "std": str(tuple(facts["std"])),
        "modalities": ",".join(facts["modalities"]),
        "versions": ", ".join(f"{name} {version}" for name, version in facts["versions"].items()),
    }
    if modality:
        told["modality"] = modality
    return {name: str(value) for name, value in facts.items()} | told
