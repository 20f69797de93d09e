"""Read a configuration that another version wrote, as that version meant it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from absl import logging
from flax.traverse_util import flatten_dict

from data_pipelines.session.command_line import expand_home
from man_jax import methods
from man_jax.config import PATHS, Config, ConfigError, WorkdirError
from man_jax.configs import default
from man_jax.runs.published import is_published
from man_jax.runs.versions import is_older, numbers, versions

CONFIG, DATA = "config.json", "data.json"


class PastConfig(NamedTuple):
    """A run's configuration by full key, as its version meant it."""

    values: dict[str, Any]
    gone: dict[str, Any]
    """Keys that do not exist any more, with their values."""
    version: str | None
    """The version of man_jax that began the run; None if it was before versions were kept."""


def read_config(workdir: Path, known: Mapping[str, Any] | None = None) -> PastConfig:
    """Read the configuration of the run in `workdir`; a missing key has the default of the version that ran.

    `workdir` may be a folder of the hub.

    `known`: the keys that exist now; those of `configs/default.py` if not given.

    Raises:
        WorkdirError: there is no configuration, or it cannot be read.
    """
    found = read_json(workdir / CONFIG, "name the work directory of a run, e.g. runs/demo")
    known = plain_values(default.get_config()) if known is None else known
    version = read_version(workdir)
    found = found["config"] if is_published(found) else found
    there, then = default.renamed(plain_values(found)), _defaults(version)
    values = {key: there.get(key, then.get(key)) for key in known if key in there or key in then}
    wrong = [f"config.{key} is {values[key]!r}" for key in values if not _is_like(values[key], known[key])]
    if wrong:
        raise WorkdirError(
            f"{workdir / CONFIG}: {'; '.join(wrong)}, which is of another type than the key's; restore it from a copy"
        )
    gone = {key: value for key, value in there.items() if key not in known}
    return PastConfig(values, gone, version)


def run_config(run: Path) -> Config:
    """Load the configuration of a run, as its version meant it; the log names keys that do not exist any more."""
    past = read_config(run)
    for key, value in past.gone.items():
        logging.warning(
            "config.%s of %s is %r; there is no such key any more, and it is passed over", key, run, value
        )
    config = default.get_config()
    try:
        # Earlier versions kept ~ in their paths.
        homes = {key: expand_home(past.values[key]) for key in PATHS if key in past.values}
        config.update_from_flattened_dict(past.values | homes)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{run / CONFIG}: {error}; restore that file from a copy") from None
    return config


def read_version(workdir: Path) -> str | None:
    """Read which version of man_jax made a work directory; None if that version kept no such record."""
    if (workdir / DATA).is_file():
        about = read_json(workdir / DATA, "")
    elif not (workdir / CONFIG).is_file() or not is_published(about := read_json(workdir / CONFIG, "")):
        return None
    found = about.get("versions", {})
    version = found.get("man_jax") if isinstance(found, dict) else None
    return version if isinstance(version, str) else None


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Read the JSON object in a file of a work directory; WorkdirError if there is none."""
    if not path.is_file():
        raise WorkdirError(f"{path} does not exist; {remedy}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WorkdirError(f"{path} cannot be read ({error}); restore it from a copy") from None
    if not isinstance(found, dict):
        raise WorkdirError(f"{path} holds no JSON object; restore it from a copy")
    return found


def refusing_gone(past: PastConfig) -> list[str]:
    """List, as sentences, the keys that do not exist here and that the result of the run may depend on.

    These are keys of a later version, and keys that are gone with a value that mattered. The log names other unknown
    keys.
    """
    ours = versions()["man_jax"]
    of_later = past.version is not None and is_older(ours, past.version)
    return [
        f"config.{key} is {value!r} there, and man_jax {ours} has no such key"
        for key, value in past.gone.items()
        if (value not in default.GONE[key] if key in default.GONE else of_later)
    ]


def plain_values(config: Config) -> dict[str, Any]:
    """Give the values of a configuration, or of nested dictionaries, by full key; tuples become lists, as in JSON."""
    plain = config.to_dict() if hasattr(config, "to_dict") else config
    return {
        key: value
        for key, value in flatten_dict(json.loads(json.dumps(plain)), sep=".").items()
        if value != {}
    }


def is_of_other_method(key: str, values: Mapping[str, Any]) -> bool:
    """Tell whether a full key belongs to a method that the configuration `values` does not use."""
    part = key.partition(".")[0]
    return part in methods.names() and part != values["method"]


def _is_like(value: Any, known: Any) -> bool:
    """Tell whether a value from JSON has the type of the known one; a whole number may stand for any number."""
    return type(value) is type(known) or (type(value) is int and type(known) is float)


def _defaults(version: str | None) -> dict[str, Any]:
    """Give the defaults that a run of that version had for keys missing in its configuration."""
    values = plain_values(default.get_config())
    for since, before in sorted(default.BEFORE.items(), key=lambda item: numbers(item[0]), reverse=True):
        if is_older(version, since):
            values |= plain_values(before)
    return values
