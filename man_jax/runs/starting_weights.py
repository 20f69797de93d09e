"""Find the weights that a run begins from, of another run or of a file, and keep a record of them and of the data."""

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import jax
from absl import logging

from man_jax.config import Config, ConfigError
from man_jax.configs import default
from man_jax.networks.pretrained.errors import WeightsError
from man_jax.networks.pretrained.hub import locate
from man_jax.runs.checkpoint import CHECKPOINTS, PRETRAINED, find_pretrained
from man_jax.runs.metrics import read_history
from man_jax.runs.past_config import DATA, plain_values, read_json
from man_jax.runs.recovery import read_newest, saved_steps
from man_jax.runs.seal import content_digest
from man_jax.runs.used_data import RESTORE, UsedData, write_data
from man_jax.runs.weights_meaning import check_meaning
from man_jax.runs.workdir import weights_elsewhere


class Beginning(NamedTuple):
    """Another run whose weights this one takes, and the key that names it."""

    key: str
    workdir: Path
    folder: Path
    """The folder of the weights, inside the work directory."""


def find_beginning(config: Config) -> Beginning | None:
    """Find the run whose weights a new run begins from, if the configuration names one; reads no data.

    Raises:
        ConfigError: that run left no weights, they are damaged, or they are for another network or other images.
    """
    if config.pretrain.init_from:
        workdir = Path(config.pretrain.init_from)
        begun = Beginning("pretrain.init_from", workdir, find_pretrained(workdir))
    elif config.adapt.init_from:
        workdir = Path(config.adapt.init_from)
        begun = Beginning("adapt.init_from", workdir, _find_adapted(workdir))
    else:
        return None
    check_meaning(begun.key, begun.workdir, begun.folder, config)
    return begun


def find_moved_weights(workdir: Path, config: Config) -> Collection[str]:
    """Find the keys of default.WEIGHTS that name the first weights of the run in `workdir` at a new place."""
    elsewhere = weights_elsewhere(workdir, config)
    if not elsewhere or not (workdir / DATA).is_file():
        return ()
    began = read_json(workdir / DATA, RESTORE).get("weights", "")
    return tuple(key for key, value in elsewhere.items() if began and weights_digest(key, value) == began)


def keep_data(workdir: Path, used: UsedData, config: Config, *, fresh: bool) -> None:
    """Keep a record of the data of a new run, or of a run whose version wrote none; only process 0 writes."""
    if jax.process_index() != 0 or not (fresh or not (workdir / DATA).is_file()):
        return
    if not fresh:
        logging.warning(
            "%s is of a version that kept no fingerprint of its data; whether they are still the same could not be "
            "checked, and from now on it is",
            workdir,
        )
    write_data(workdir, used, weights=digest_of_given(config) if fresh else "")


def digest_of_given(config: Config) -> str:
    """Compute the digest of the weights that a run begins with; "" if these are random."""
    values = plain_values(config)
    given = [(key, values[key]) for key in default.WEIGHTS if values.get(key)]
    return weights_digest(*given[0]) if given else ""


def _find_adapted(workdir: Path) -> Path:
    """Find the newest whole checkpoint of a run that has begun to adapt."""
    name = "config.adapt.init_from"
    try:
        step, _, _ = read_newest(workdir / CHECKPOINTS, lambda step: step)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
    rows = read_history(workdir)
    if rows and not any(row["phase"] == "adapt" and row["step"] <= step for row in rows):
        raise ConfigError(
            f"{name}: {workdir} has not begun to adapt; let it, or take its pre-trained weights by "
            f"--config.pretrain.init_from={workdir}"
        )
    return workdir / CHECKPOINTS / str(step)


def given_weights(config: Config) -> str:
    """Name the weights that a run begins with, as they are configured; "" if these are random."""
    given = (config.adapt.init_from, config.pretrain.init_from, config.model.pretrained)
    return next(filter(None, given), "")


def locate_weights(name: str) -> Path:
    """Find the file of weights `name`: a path, a file of the hub, or configs/FILE, which the package brings.

    Raises WeightsError as `man_jax.networks.pretrained.hub.locate` does; whether a path exists is not checked.
    """
    path, brought = locate(name), Path(default.__file__).parent / Path(name).name
    # Of a wheel, the current folder has no configs/.
    return brought if path.parent == Path("configs") and not path.exists() and brought.is_file() else path


def weights_digest(key: str, value: str) -> str:
    """Compute the digest of the weights that a key of default.WEIGHTS names; "" if they cannot be read."""
    try:
        if key == "model.pretrained":
            path = locate_weights(value)
            return file_digest(path) if path.is_file() else ""
        workdir = Path(value)
        if key == "pretrain.init_from":
            return content_digest(workdir / PRETRAINED) if (workdir / PRETRAINED).is_dir() else ""
        steps = saved_steps(workdir / CHECKPOINTS)
        return content_digest(workdir / CHECKPOINTS / str(steps[0])) if steps else ""
    except (WeightsError, OSError):
        return ""


def file_digest(path: Path) -> str:
    """Compute a short digest of a file: the first 16 digits of its SHA-256."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
