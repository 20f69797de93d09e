"""Send the figures of a run to trackers of experiments too: wandb, trackio or mlflow, whichever config.trackers names.

`metrics.jsonl` stays the record. A tracker that fails while the run goes on is given up with a warning, and the run
does not end by it. When a run goes on, so does its entry in each tracker.
"""

import importlib
import json
import os
import sys
import uuid
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from absl import logging

from data_pipelines.session.disk import writing
from man_jax.config import Config, ConfigError, flat
from man_jax.runs.metrics import Receiver, replace_file

PROJECT = "man_jax"
IDS_FILE = "trackers.json"
"""In the work directory: the name of the run's entry in each tracker."""

Opened = Callable[[Mapping[str, float], int], None]
"""Takes the figures of a row and its step."""


class Guarded:
    """A tracker of another library: its first failure is a warning and its last call."""

    def __init__(self, name: str, log: Opened, finish: Callable[[], object]):
        self._name, self._log, self._finish, self._open = name, log, finish, True

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Send the figures of one row, unless an earlier call failed."""
        self._guard(lambda: self._log(values, step))

    def close(self) -> None:
        """Send what is left, unless an earlier call failed."""
        self._guard(self._finish)
        self._open = False

    def _guard(self, call: Callable[[], object]) -> None:
        if not self._open:
            return
        try:
            call()
        except Exception as error:  # the network's, the server's, the library's
            self._open = False
            logging.warning(
                "%s is given up (%s); the run goes on, and metrics.jsonl has all figures",
                self._name,
                _said(error),
            )


def check_trackers(named: str) -> tuple[str, ...]:
    """Split config.trackers into names; ConfigError if one is unknown or not installed. Imports none of them."""
    names = tuple(filter(None, (name.strip() for name in named.split(","))))
    problems = []
    for name in dict.fromkeys(names):
        if name not in OPENERS:
            problems.append(
                f"config.trackers names {name!r}; choose from {', '.join(OPENERS)}, joined by commas"
            )
        elif not _is_installed(name):
            problems.append(
                f"config.trackers names {name}, which is not installed; pip install {name}, or leave it out"
            )
    if problems:
        raise ConfigError("\n".join(problems))
    return tuple(dict.fromkeys(names))


def open_trackers(config: Config, workdir: Path) -> list[Receiver]:
    """Open each tracker that config.trackers names, and keep the names of the run's entries in the work directory.

    Raises:
        ConfigError: a tracker is not installed, or refuses, e.g. because one must log in first.
        DiskError: the disk refuses the file of names.
    """
    names = check_trackers(config.trackers)
    if not names:
        return []
    path = workdir / IDS_FILE
    ids: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    trackers: list[Receiver] = []
    for name in names:
        try:
            ids[name], tracker = OPENERS[name](config, workdir, ids.get(name))
        except Exception as error:
            raise ConfigError(
                f"config.trackers names {name}, which does not open: {_said(error)}; see its documentation, or "
                f"leave it out"
            ) from None
        trackers.append(tracker)
    with writing(path):
        replace_file(path, json.dumps(ids, indent=2) + "\n")
    return trackers


def _open_wandb(config: Config, workdir: Path, known: str | None) -> tuple[str, Receiver]:
    wandb: Any = importlib.import_module("wandb")
    identity = known or uuid.uuid4().hex[:8]
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        id=identity,
        name=_title(config),
        resume="allow",
        dir=str(workdir),
        config=flat(config),
    )
    return identity, Guarded("wandb", lambda values, step: run.log(dict(values), step=step), run.finish)


def _open_trackio(config: Config, workdir: Path, known: str | None) -> tuple[str, Receiver]:
    del workdir
    trackio: Any = importlib.import_module("trackio")
    # Trackio finds a run by its name.
    name = known or f"{_title(config)}-{uuid.uuid4().hex[:8]}"
    run = trackio.init(
        project=os.environ.get("TRACKIO_PROJECT", PROJECT), name=name, resume="allow", config=flat(config)
    )
    return name, Guarded("trackio", lambda values, step: run.log(dict(values), step=step), run.finish)


def _open_mlflow(config: Config, workdir: Path, known: str | None) -> tuple[str, Receiver]:
    del workdir
    mlflow: Any = importlib.import_module("mlflow")
    if known is None:
        if "MLFLOW_EXPERIMENT_NAME" not in os.environ and "MLFLOW_EXPERIMENT_ID" not in os.environ:
            mlflow.set_experiment(PROJECT)
        identity = mlflow.start_run(run_name=_title(config)).info.run_id
        mlflow.log_params({key: str(value)[:500] for key, value in flat(config).items()})
    else:
        identity = mlflow.start_run(run_id=known).info.run_id
    log = Guarded("mlflow", lambda values, step: mlflow.log_metrics(dict(values), step=step), mlflow.end_run)
    return identity, log


OPENERS: dict[str, Callable[[Config, Path, str | None], tuple[str, Receiver]]] = {
    "wandb": _open_wandb,
    "trackio": _open_trackio,
    "mlflow": _open_mlflow,
}


def _is_installed(name: str) -> bool:
    # A folder of that name, as wandb itself makes, is found too, but it has no file.
    spec = sys.modules[name].__spec__ if name in sys.modules else find_spec(name)
    return spec is not None and spec.origin is not None


def _title(config: Config) -> str:
    return f"{config.experiment}-seed{config.seed}"


def _said(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
