"""Recognise a folder in the layout of the Hugging Face hub, as `python -m man_jax.export --format hub` writes it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

MODEL_TYPE = "man_jax"
WEIGHTS, CARD = "model.safetensors", "README.md"


def is_published(found: Mapping[str, Any]) -> bool:
    """Tell whether the content of a config.json is that of such a folder, and not that of a work directory."""
    return found.get("model_type") == MODEL_TYPE and isinstance(found.get("config"), dict)


def has_published_weights(folder: Path) -> bool:
    """Tell whether a folder is one of the hub, with weights in a file and no checkpoints."""
    return (folder / WEIGHTS).is_file() and not (folder / "checkpoints").exists()
