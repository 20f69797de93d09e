"""Plan the runs that `man_jax.reproduce` compares, and check all of them before the first begins."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from data_pipelines.reading.datasets import read
from data_pipelines.reading.records import UNLABELLED, DataError, Dataset
from man_jax import methods
from man_jax.config import Config, ConfigError, check_config, check_counts, flat
from man_jax.configs import default, variants

SHARED = (
    "seed",
    "data.image_size",
    "data.train_filter",
    "data.source",
    "data.target",
    "augment.mean",
    "augment.std",
    "model",
    "pretrain",
)
"""Keys, and whole parts, that no row may change, because it would then need other weights or another target."""

FREE = (*default.EFFORT, "model.dtype")
"""Keys within `SHARED` that a row may change all the same, because they only say how the network is computed."""


class PlannedRun(NamedTuple):
    """One run of a study."""

    config: Config
    workdir: Path


def parse_seeds(words: Sequence[str]) -> list[int]:
    """Read the values of --seeds; ConfigError if one is no seed or occurs twice."""
    if wrong := [word for word in words if not word.strip().isdecimal()]:
        raise ConfigError(
            f"--seeds {','.join(words)}: {wrong[0]!r} is no whole number of at least 0; write e.g. --seeds 0,1,2"
        )
    seeds = [int(word) for word in words]
    if not seeds:
        raise ConfigError("--seeds is empty; write e.g. --seeds 0,1,2")
    _refuse_doubles("--seeds", seeds)
    return seeds


def planned_runs(config: Config, seed: int, out: Path, *, rows: Sequence[str]) -> dict[str, PlannedRun]:
    """List the runs of one seed by name, in their order: adapted, oracle and each row.

    All of them start from the same pre-trained weights: those of the first run, or those that `pretrain.init_from`
    names.
    """
    config = config.copy_and_resolve_references()
    config.seed = seed
    adapted = PlannedRun(config, out / f"seed{seed}-adapted")
    follower = config.copy_and_resolve_references()
    follower.pretrain.init_from = config.pretrain.init_from or str(adapted.workdir)
    follower.model.pretrained = ""  # what the first run started from is in its weights already
    others = {
        row: PlannedRun(turned(follower, row), out / f"seed{seed}-{row.replace('/', '_')}")
        for row in ("oracle", *rows)
    }
    return {"adapted": adapted, **others}


def turned(config: Config, row: str) -> Config:
    """Change the configuration as the row says; ConfigError if there is no such row, or it needs other weights."""
    try:
        other = variants.turn(config, row)
    except ValueError as error:
        raise ConfigError(f"--rows {row}: {error}") from None
    there, here = flat(config), flat(other)
    changed = [key for key in here if here[key] != there[key] and is_shared(key)]
    if changed:
        key, remedy = changed[0], f"--config.{row}" if "=" in row else f"--config configs/NAME.py:{row}"
        more = f", and {len(changed) - 1} keys more" if len(changed) > 1 else ""
        raise ConfigError(
            f"--rows {row}: it sets config.{key} to {here[key]!r} instead of {there[key]!r}{more}; all rows share the "
            f"target and the weights pre-trained with these. Compare it in runs of its own: {remedy} and another --out"
        )
    return other


def check_planned_runs(
    config: Config, seeds: Sequence[int], out: Path, *, rows: Sequence[str], num_devices: int
) -> None:
    """Check all runs now, because the last of them begins hours later; reads the names of images, but no image.

    Raises:
        ConfigError, DataError, WorkdirError: one of the runs would be refused; the message names the row.
    """
    from man_jax.runs.workdir import check_workdir  # slow to import

    _refuse_doubles("--rows", rows)
    if "oracle" in rows:
        raise ConfigError("--rows oracle: the oracle is run without being named; leave it out")
    refuse_init_from(config)
    data = None
    for seed in seeds:
        for name, run in planned_runs(config, seed, out, rows=rows).items():
            try:
                check_config(run.config, num_devices=num_devices)
                data = data or [
                    read(side.name, side.root) for side in (config.data.source, config.data.target)
                ]
                check_data(run.config, *data)
            except ConfigError as error:
                about = f"--rows {name}: " if name in rows else ""
                raise ConfigError("\n".join(about + line for line in str(error).splitlines())) from None
            check_workdir(run.workdir.absolute(), run.config)


def refuse_init_from(config: Config) -> None:
    """Refuse weights that were adapted already; ConfigError tells the remedy."""
    if config.adapt.init_from:
        raise ConfigError(
            f"config.adapt.init_from is {config.adapt.init_from!r}, and what is compared starts from pre-trained "
            f"weights; empty it, or continue that one run by python -m man_jax.train"
        )


def check_data(config: Config, source: Dataset, target: Dataset) -> None:
    """Check that the data have what a run needs, by their names only; DataError or ConfigError otherwise."""
    from man_jax.engine.domain_data import check_domains  # slow to import

    check_domains(config, source, target)
    pids = [record.pid for record in target.splits["train"]]
    if config.adapt.labels == "truth" and UNLABELLED in pids:
        raise DataError(
            f"{target.root}: training triples without an identity, which the oracle learns from; label them, or "
            f"train without an oracle by python -m man_jax.train"
        )
    check_counts(
        config,
        num_identities=len({record.pid for record in source.splits["train"]}),
        num_samples=len(pids),
        num_target_identities=len(set(pids) - {UNLABELLED}),
        capacity=methods.find(config.method).capacity(config, len(pids)),
    )


def is_shared(key: str) -> bool:
    """Tell whether runs with other values of a key need other pre-trained weights, or another target."""

    def within(parts: Iterable[str]) -> bool:
        return any(key == part or key.startswith(f"{part}.") for part in parts)

    return within(SHARED) and not within(FREE)


def _refuse_doubles(flag: str, values: Sequence[int] | Sequence[str]) -> None:
    if doubles := [value for place, value in enumerate(values) if value in values[:place]]:
        raise ConfigError(f"{flag}: {doubles[0]} occurs twice; name each once")
