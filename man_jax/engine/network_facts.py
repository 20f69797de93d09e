"""Tell what a user of exported weights must know: which images the network takes, and where the weights come from."""

from pathlib import Path
from typing import Any

from man_jax.config import Config
from man_jax.runs.versions import versions

BRANCH_FEATURE = "unit length, one for each modality, in the order of `modalities`"
FUSED_FEATURE = "unit length; the modal features one after the other, divided by their common length"


def network_facts(config: Config, workdir: Path, description: str) -> dict[str, Any]:
    """Give the facts of an exported network as JSON has them; of paths only the run's own name is told."""
    return {
        "experiment": config.experiment,
        "run": workdir.name,
        "weights": description,
        "backbone": config.model.backbone,
        "modalities": list(config.model.modalities),
        "image_size": list(config.data.image_size),
        "image_resize": "Pillow's bilinear filter, from the whole image",
        "deep_range": list(config.data.target.deep_range),
        "mean": list(config.augment.mean),
        "std": list(config.augment.std),
        "versions": versions(),
    }


def program_facts(config: Config) -> dict[str, Any]:
    """Give the inputs and outputs of the exported program, as JSON has them."""
    modalities = len(config.model.modalities)
    return {
        "input": {
            "dtype": "uint8",
            "shape": ["batch", modalities, *config.data.image_size, 3],
            "meaning": "RGB bytes of each modality, in the order of `modalities`; the program normalises them",
        },
        "output": {
            "fused": {"dtype": "float32", "shape": ["batch", f"{modalities} D"], "meaning": FUSED_FEATURE},
            "modal": {"dtype": "float32", "shape": ["batch", modalities, "D"], "meaning": BRANCH_FEATURE},
        },
    }
