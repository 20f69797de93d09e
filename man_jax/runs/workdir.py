"""Keep a work directory for one configuration, and for one process that writes in it."""

import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from shlex import quote
from typing import Any

from absl import logging

from data_pipelines.reading.printable import is_utf8, printable
from data_pipelines.session.disk import writing
from data_pipelines.storing.locks import LOCK, Timeout, locked
from man_jax.config import Config, WorkdirError
from man_jax.configs import default
from man_jax.runs.metrics import replace_file
from man_jax.runs.past_config import (
    CONFIG,
    PastConfig,
    is_of_other_method,
    plain_values,
    read_config,
    refusing_gone,
)
from man_jax.runs.versions import versions

__all__ = [
    "CONFIG",
    "LOCK",
    "WorkdirError",
    "WorkdirInUseError",
    "check_workdir",
    "claim_workdir",
    "in_use",
    "weights_elsewhere",
]

INIT_FROM = "adapt.init_from"
HISTORY = "config_history.jsonl"
"""Earlier values of the keys that changed when the run was started again, one line for each such start."""


class WorkdirInUseError(WorkdirError):
    """Another process is at work in a work directory."""


def check_workdir(workdir: Path, config: Config, *, same_weights: Iterable[str] = ()) -> None:
    """Check that a work directory is of this configuration; PLACES and EFFORT of `configs/default.py` may differ.

    `same_weights`: the keys of default.WEIGHTS that name the run's first weights at a new place; they may differ too.

    Raises:
        WorkdirError: the message names the keys that differ, both values and the remedies.
    """
    if not is_utf8(workdir):
        raise WorkdirError(
            f"{printable(workdir)}: its name, or the locale, is not UTF-8, which the checkpoints' library needs; "
            f"choose another --workdir (of man_jax.reproduce: --out)"
        )
    past = _past(workdir, config)
    if past is None:
        return
    may_differ = {*default.PLACES, *default.EFFORT, *same_weights}
    changed = {key: values for key, values in _changed(past, config).items() if key not in may_differ}
    told = [f"config.{key} is {there!r} there and {here!r} here" for key, (there, here) in changed.items()]
    told += refusing_gone(past)
    if told:
        of = f" (by man_jax {past.version})" if past.version else ""
        raise WorkdirError(
            f"{workdir} holds a run of another configuration{of}: {'; '.join(told)}. Choose another --workdir "
            f"(of man_jax.reproduce: --out), or delete this one{_longer(workdir, config, changed)}"
        )


def claim_workdir(
    workdir: Path, config: Config, *, same_weights: Iterable[str] = ()
) -> AbstractContextManager[Any]:
    """Write the configuration into the work directory, and lock it until the returned context is left.

    If keys that may differ do so, the log names them, and `config_history.jsonl` keeps the earlier values.

    Raises:
        WorkdirInUseError: another process is at work there.
        WorkdirError: as `check_workdir` does.
        DiskError: the disk refuses.
    """
    with ExitStack() as claim, writing(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        claim.enter_context(_locked(workdir))
        # Checked again under the lock, because another process may have used the folder since the first check.
        check_workdir(workdir, config, same_weights=same_weights)
        _keep_history(workdir, config)
        replace_file(workdir / CONFIG, json.dumps(_plain(config), indent=2) + "\n")
        return claim.pop_all()


def in_use(workdir: Path) -> bool:
    """Tell whether another process is at work in a work directory, which need not exist."""
    if not (workdir / LOCK).exists():
        return False
    try:
        with _locked(workdir):
            return False
    except WorkdirInUseError:
        return True


def weights_elsewhere(workdir: Path, config: Config) -> dict[str, str]:
    """Find the keys of default.WEIGHTS that name another place than when the run began, with their new values."""
    past = _past(workdir, config)
    changed = {} if past is None else _changed(past, config)
    return {key: changed[key][1] for key in default.WEIGHTS if key in changed and all(changed[key])}


def _past(workdir: Path, config: Config) -> PastConfig | None:
    return read_config(workdir, plain_values(config)) if (workdir / CONFIG).exists() else None


def _changed(past: PastConfig, config: Config) -> dict[str, tuple[Any, Any]]:
    """Find the keys whose values differ, and give both values (there, here) of each."""
    here = plain_values(config)
    return {
        key: (past.values.get(key), here[key])
        for key in sorted(here)
        if past.values.get(key) != here[key] and not is_of_other_method(key, here)
    }


def _longer(workdir: Path, config: Config, changed: Mapping[str, tuple[Any, Any]]) -> str:
    """Explain how to train longer, if that is why the number of epochs was changed."""

    def more(key: str) -> int:
        there, here = changed.get(key, (0, 0))
        return here - there if isinstance(there, int) and isinstance(here, int) else 0

    told = ""
    if (epochs := more("adapt.epochs")) > 0:
        here = plain_values(config)
        # A run begins from one of these only.
        emptied = "".join(f" --config.{key}=" for key in default.WEIGHTS if key != INIT_FROM and here[key])
        told += (
            f". More epochs: the rate falls to 0 at the last one, so a run is not lengthened; start another from its "
            f"adapted weights, with the same command but for --workdir {quote(f'{workdir}-longer')}{emptied} "
            f"--config.{INIT_FROM}={quote(str(workdir))} --config.adapt.epochs={epochs}"
        )
    if more("pretrain.epochs") > 0:
        told += (
            ". Longer pre-training is another run: its rate falls to 0 at the last epoch, so pre-train anew in "
            "another --workdir"
        )
    return told


def _keep_history(workdir: Path, config: Config) -> None:
    past = _past(workdir, config)
    if past is None:
        return
    changed = _changed(past, config)
    for key, (there, here) in changed.items():
        logging.info("config.%s was %r and is %r from now on; the run goes on", key, there, here)
    for key, value in past.gone.items():
        logging.info(
            "config.%s was %r; there is no such key any more, and the run goes on without", key, value
        )
    if changed or past.gone:
        line = {
            "versions": versions(),
            "was": {key: there for key, (there, _) in changed.items()} | past.gone,
        }
        with (workdir / HISTORY).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _locked(workdir: Path) -> AbstractContextManager[Any]:
    """Lock the work directory by a file; the lock ends when the context is left, also by a kill."""
    try:
        return locked(workdir, wait=False, advice="do not start the same run twice at once")
    except Timeout:
        raise WorkdirInUseError(
            f"{workdir} is in use by another process; wait until that has ended, or choose another --workdir"
        ) from None


def _plain(config: Config) -> dict[str, Any]:
    """Give the configuration as JSON would return it, with lists in place of tuples."""
    return json.loads(json.dumps(config.to_dict()))
