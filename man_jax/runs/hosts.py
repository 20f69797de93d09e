"""Check, before long work, that all processes have the same configuration, the same data and the same folder."""

import secrets
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from data_pipelines.session.disk import writing
from man_jax.config import Config, ConfigError
from man_jax.configs import default
from man_jax.runs.checkpoint import CHECKPOINTS
from man_jax.runs.multi_process import in_step, told_by_first_process
from man_jax.runs.past_config import plain_values
from man_jax.runs.recovery import saved_steps
from man_jax.runs.versions import commit, versions

PATIENCE = 30.0
"""Seconds in which a new file has to be seen by all hosts; a network file system may remember for some seconds what
was there."""
PAUSE = 0.2
MOST_TOLD = 3
NAME = 64
"""Bytes of the name of a host."""


def check_same(facts: Mapping[str, Any]) -> None:
    """Compare what this process has found with what process 0 has; all processes call this together.

    Raises:
        ConfigError: they differ, on every process; that of the one which differs names the facts and both values.
    """
    if jax.process_count() == 1:
        return
    first = told_by_first_process(dict(facts))
    with in_step():
        names = [name for name in {**first, **facts} if first.get(name) != facts.get(name)]
        if names:
            told = [f"{name} is {first.get(name)!r} there and {facts.get(name)!r} here" for name in names]
            more = f", and {len(told) - MOST_TOLD} differences more" if len(told) > MOST_TOLD else ""
            raise ConfigError(
                f"--distributed: process {jax.process_index()} on {socket.gethostname()} differs from process 0: "
                f"{'; '.join(told[:MOST_TOLD])}{more}; start all processes with the same command, package and data"
            )


def facts_of_config(config: Config) -> dict[str, Any]:
    """Give the keys that all processes need alike, by their names; where the data are may differ between hosts."""
    values = {key: value for key, value in plain_values(config).items() if key not in default.PLACES}
    return {f"config.{key}": value for key, value in values.items()} | {
        "the version": versions(),
        "the commit": commit(),
    }


def facts_of_run(workdir: Path, config: Config) -> dict[str, Any]:
    """Give what all processes need alike of a trained run; its weights are compared when they are opened."""
    return facts_of_config(config) | {"the checkpoints": saved_steps(workdir / CHECKPOINTS)}


def facts_of_data(used: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """Turn a description of data into names and values on one level: "target train fingerprints R"."""
    flat: dict[str, Any] = {}
    for name, value in used.items():
        if isinstance(value, Mapping):
            flat |= facts_of_data(value, f"{place}{name} ")
        else:
            flat[f"{place}{name}"] = value
    return flat


def check_shared(folder: Path, flag: str) -> None:
    """Check that the folder that process 0 writes in, or the one it will be made in, is the same for all processes.

    Process 0 makes a file, the others look for it, and it is removed. All processes call this together.

    Raises:
        ConfigError: a process does not see it, on every process. `flag` names what the user has to change.
        DiskError: process 0 cannot write there.
    """
    if jax.process_count() == 1:
        return
    depth = next(number for number, each in enumerate((folder, *folder.parents)) if each.is_dir())
    depth, name = told_by_first_process([depth, f".man_jax-{secrets.token_hex(8)}"])
    sign = [folder, *folder.parents][: depth + 1][-1] / name
    try:
        with in_step():
            if jax.process_index() == 0:
                with writing(sign):
                    sign.touch()
        with in_step():
            if not _appears(sign):
                raise ConfigError(
                    f"--distributed: process {jax.process_index()} on {socket.gethostname()} does not see what process "
                    f"0 writes in {sign.parent}; choose a {flag} in a file system that all hosts share"
                )
    finally:
        if jax.process_index() == 0:
            sign.unlink(missing_ok=True)


def hosts_of_processes() -> list[str]:
    """Name the host of each process, in the order of the processes; all processes call this together."""
    name = socket.gethostname().encode()[:NAME]
    line = np.frombuffer(name.ljust(NAME), np.uint8)
    rows = [line] if jax.process_count() == 1 else multihost_utils.process_allgather(line)
    return [row.tobytes().decode(errors="replace").strip() for row in rows]


def _appears(path: Path) -> bool:
    """Wait until a file is there; False if it does not come."""
    start = time.monotonic()
    while not path.exists():
        if time.monotonic() - start > PATIENCE:
            return False
        time.sleep(PAUSE)
        # A network file system looks again when the folder is opened.
        if path.parent.is_dir():
            list(path.parent.iterdir())
    return True
