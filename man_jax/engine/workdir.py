"""One work directory, one configuration."""

import json
from pathlib import Path
from typing import Any

from man_jax.config import Config

CONFIG = "config.json"


class WorkdirError(ValueError):
    """The work directory belongs to another configuration."""


def claim_workdir(workdir: Path, config: Config) -> None:
    """Write the resolved configuration, or check that the one already there is the same.

    Raises:
        WorkdirError: it differs; the message names the keys, both values and the remedies.
    """
    wanted = json.loads(json.dumps(config.to_dict()))
    path = workdir / CONFIG
    if path.exists():
        differences = list(_differences(json.loads(path.read_text()), wanted))
        if differences:
            raise WorkdirError(
                f"{workdir} holds a run of another configuration: {'; '.join(differences)}. "
                f"Choose another --workdir, or delete this one"
            )
        return
    workdir.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(wanted, indent=2) + "\n")
    partial.replace(path)


def _differences(found: dict[str, Any], wanted: dict[str, Any], prefix: str = "config"):
    for key in sorted(found.keys() | wanted.keys()):
        name = f"{prefix}.{key}"
        there, here = found.get(key), wanted.get(key)
        if isinstance(there, dict) and isinstance(here, dict):
            yield from _differences(there, here, name)
        elif there != here:
            yield f"{name} is {there!r} there and {here!r} here"
