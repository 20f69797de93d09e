"""Train from Python, as `python -m man_jax.train` does on a command line."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from data_pipelines.session.command_line import expand_home
from man_jax.commands import expand_paths
from man_jax.config import Config, ConfigError, check_config, flat
from man_jax.experiment_flags import FOLDER, load_experiment


def train(
    config: Config | str | os.PathLike[str],
    workdir: str | os.PathLike[str] | None = None,
    *,
    changes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Pre-train and adapt, or go on where an earlier call stopped; return what `summary.json` holds.

        summary = man_jax.train("configs/demo.py:smoke", "runs/trial", changes={"seed": 1})
        summary["adapted"]["mAP"]

    Args:
        config: an experiment, `configs/NAME.py` or `configs/NAME.py:VARIANT`, or its name alone, or a configuration as
            `get_config` of such a file returns it. It is not changed.
        workdir: where the run is kept; `runs/<config.experiment>` if None.
        changes: values by full key, such as {"man.alpha": 0.5}.

    Raises:
        ConfigError, DataError, WorkdirError: before any training, if something does not fit.
        FloatingPointError: training diverges.
    """
    chosen: Config = _changed(_loaded(config), changes or {})
    expand_paths(chosen)
    check_config(chosen, num_devices=1)  # before the slow import of JAX, which tells the number of devices

    from man_jax.engine.training_run import train_or_resume

    place = Path("runs") / chosen.experiment if workdir is None else Path(expand_home(os.fspath(workdir)))
    return train_or_resume(chosen, place)


def _loaded(config: Config | str | os.PathLike[str]) -> Config:
    """Load an experiment by its path or name, or copy a configuration."""
    if isinstance(config, ConfigDict):
        return config.copy_and_resolve_references()
    if not isinstance(config, str | os.PathLike):
        raise ConfigError(
            f"config is {type(config).__name__}; give configs/NAME.py, or what its get_config returns"
        )
    name, colon, variant = os.fspath(config).partition(":")
    if not Path(name).suffix and (FOLDER / f"{name}.py").is_file():
        name = str(FOLDER / f"{name}.py")
    return load_experiment(f"{name}{colon}{variant}")


def _changed(config: Config, changes: Mapping[str, Any]) -> Config:
    known = flat(config)
    if unknown := [key for key in changes if key not in known]:
        raise ConfigError(f"there is no key config.{unknown[0]}; all keys are in configs/default.py")
    try:
        config.update_from_flattened_dict(dict(changes))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"changes: {error}") from None
    return config
