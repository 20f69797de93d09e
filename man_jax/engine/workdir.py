"""One work directory, one configuration, one process that writes in it."""

import fcntl
import json
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, TextIO

from absl import logging

from data_pipelines.disk import writing
from man_jax.config import Config
from man_jax.engine.metrics import replace_file

CONFIG = "config.json"
LOCK = ".lock"


class WorkdirError(ValueError):
    """The work directory belongs to another configuration, or another process is at work in it."""


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
            f"Choose another --workdir (of man_jax.reproduce: --out), or delete this one"
        )


def claim_workdir(workdir: Path, config: Config) -> AbstractContextManager[Any]:
    """Write the resolved configuration, and keep other processes out until the context that is returned is left.

    Raises:
        WorkdirError: another process is at work there, or as `check_workdir` does.
        DiskError: the disk refuses.
    """
    with ExitStack() as claim, writing(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        claim.enter_context(_locked(workdir))
        # Again, behind the lock: whoever had it may have claimed the folder since the command was checked.
        check_workdir(workdir, config)
        replace_file(workdir / CONFIG, json.dumps(_plain(config), indent=2) + "\n")
        return claim.pop_all()


def _locked(workdir: Path) -> TextIO:
    """A file whose lock ends when it is closed, even by a kill."""
    lock = (workdir / LOCK).open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise WorkdirError(
            f"{workdir} is in use by another process; wait until that has ended, or choose another --workdir"
        ) from None
    except OSError as error:  # a file system without locks
        logging.warning("%s cannot be locked (%s); do not start the same run twice at once", workdir, error)
    return lock


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
