"""One work directory, one configuration."""

import json
from pathlib import Path
from typing import Any

from man_jax.config import Config

CONFIG = "config.json"


class WorkdirError(ValueError):
    """The work directory belongs to another configuration."""


def check_workdir(workdir: Path, config: Config) -> None:
    """Refuse a work directory of another configuration.

    Raises:
        WorkdirError: it differs; the message names the keys, both values and the remedies.
    """
    path = workdir / CONFIG
    if not path.exists():
        return
    differences = list(_differences(json.loads(path.read_text()), _plain(config)))
    if differences:
        raise WorkdirError(
            f"{workdir} holds a run of another configuration: {'; '.join(differences)}. "
            f"Choose another --workdir, or delete this one"
        )


def claim_workdir(workdir: Path, config: Config) -> None:
    """Write the resolved configuration; raises as `check_workdir` does."""
    check_workdir(workdir, config)
    workdir.mkdir(parents=True, exist_ok=True)
    partial = workdir / f"{CONFIG}.partial"
    partial.write_text(json.dumps(_plain(config), indent=2) + "\n")
    partial.replace(workdir / CONFIG)


def read_config(workdir: Path) -> dict[str, Any]:
    """The resolved configuration of the run in `workdir`; WorkdirError if there is none."""
    path = workdir / CONFIG
    if not path.is_file():
        raise WorkdirError(f"{path} does not exist; name the work directory of a run, e.g. runs/demo")
    return json.loads(path.read_text())


def _plain(config: Config) -> dict[str, Any]:
    """As JSON gives it back: tuples are lists."""
    return json.loads(json.dumps(config.to_dict()))


def _differences(found: dict[str, Any], wanted: dict[str, Any], prefix: str = "config"):
    for key in sorted(found.keys() | wanted.keys()):
        name = f"{prefix}.{key}"
        there, here = found.get(key), wanted.get(key)
        if isinstance(there, dict) and isinstance(here, dict):
            yield from _differences(there, here, name)
        elif there != here:
            yield f"{name} is {there!r} there and {here!r} here"
