"""The demonstration's experiment on two drawn domains of fewer vehicles than the demonstration has."""

import contextlib
import importlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NUM_CLUSTERS = 32


@contextlib.contextmanager
def drawn_domains(given: Path | None) -> Iterator[tuple[Path, Path]]:
    """Give a folder with the data and one for runs; draw 32 + 8 vehicles a domain unless `given` has RGBNT100/."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = given.absolute() if given else folder / "data"
        if not given:
            numbers = {"identities": NUM_CLUSTERS, "test_identities": 8}
            words = [f"--{flag}={number}" for flag, number in numbers.items()]
            subprocess.run(
                [sys.executable, "-m", "data_pipelines.synthetic", f"--out={data}", *words], check=True
            )
        yield data, folder


def overrides(data: Path, folder: Path, *, drawn: bool) -> dict[str, Any]:
    """Give the keys, by their full names, that lead an experiment of the demonstration to this data."""
    keys: dict[str, Any] = {
        "data.source.root": str(data / "RGBNT100"),
        "data.target.root": str(data / "WMVeID863"),
        "data.prepared": str(folder / "prepared"),
    }
    return keys | ({"adapt.num_clusters": NUM_CLUSTERS} if drawn else {})


def demo_config(variant: str, keys: dict[str, Any]) -> Any:
    """Make the demonstration's experiment with these keys."""
    config = importlib.import_module("man_jax.configs.demo").get_config(variant)
    config.update_from_flattened_dict(keys)
    return config
