"""Plan the runs of a table of the paper (configs/tables.py), and say before the first begins which cannot be run.

Rows that need the same pre-trained weights share them: the first of them pre-trains, the others start from its weights.
"""

import ast
import re
from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from data_pipelines.reading.datasets import read
from data_pipelines.reading.records import DataError
from man_jax.config import Config, ConfigError, check_config, flat
from man_jax.configs import tables, variants
from man_jax.studies.planned_runs import PlannedRun, check_data, is_shared, refuse_init_from

Key = tuple[int, str]
"""The seed and the name of a row."""


class TablePlan(NamedTuple):
    """What is run of a table, and what is not, with the reason."""

    runs: dict[Key, PlannedRun]
    refused: dict[str, str]
    sizes: dict[str, tuple[int, int]]
    """Training triples and identities of source and target."""


def find_table(name: str) -> tables.Table:
    """Look a table up by the name that --what takes; ConfigError if there is none."""
    if name not in tables.TABLES:
        raise ConfigError(f"--what {name}: choose one of {', '.join(tables.TABLES)}")
    return tables.TABLES[name]


def plan_table(
    table: tables.Table, config: Config, seeds: Sequence[int], out: Path, *, num_devices: int
) -> TablePlan:
    """Plan the rows of a table on the data of `config`, whose own keys a row changes.

    A row that these data do not allow, such as one that compares cameras where there is one, is left out and told.

    Raises:
        ConfigError, DataError: every row is refused; the first reason is told.
        WorkdirError: a row's folder holds another run.
    """
    from man_jax.runs.workdir import check_workdir  # slow to import

    refuse_init_from(config)
    data = [read(side.name, side.root) for side in (config.data.source, config.data.target)]
    refused: dict[str, str] = {}
    errors: list[Exception] = []
    allowed = []
    for row in table.rows:
        try:
            changed = change(config, row)
            check_config(changed, num_devices=num_devices)
            check_data(changed, *data)
            if config.pretrain.init_from and weights_of(changed) != weights_of(config):
                raise ConfigError(
                    f"it needs other weights than those of config.pretrain.init_from, {config.pretrain.init_from}; "
                    f"empty that key, and it pre-trains its own"
                )
            allowed.append(row)
        except (ConfigError, DataError) as error:
            refused[row.name] = str(error).splitlines()[0]
            errors.append(error)
    if not allowed:
        raise errors[0]
    runs = {(seed, name): run for seed in seeds for name, run in runs_of(allowed, config, seed, out).items()}
    for run in runs.values():
        check_workdir(run.workdir.absolute(), run.config)
    sizes = {
        side: (len(records), len({record.pid for record in records}))
        for side, records in zip(("source", "target"), (each.splits["train"] for each in data), strict=True)
    }
    return TablePlan(runs, refused, sizes)


def runs_of(rows: Sequence[tables.Row], config: Config, seed: int, out: Path) -> dict[str, PlannedRun]:
    """List the runs of one seed by the names of the rows, each with the weights that it starts from."""
    config = config.copy_and_resolve_references()
    config.seed = seed
    first: dict[str, Path] = {}
    runs = {}
    for row in rows:
        changed = change(config, row)
        workdir = out / f"seed{seed}-{plain(row)}"
        weights = weights_of(changed)
        if not changed.pretrain.init_from and weights in first:
            changed.pretrain.init_from = str(first[weights])
            changed.model.pretrained = ""  # what the first run started from is in its weights already
        first.setdefault(weights, workdir)
        runs[row.name] = PlannedRun(changed, workdir)
    return runs


def weights_of(config: Config) -> str:
    """Name the pre-trained weights that a run needs: two runs of the same name can share them."""
    return repr(sorted((key, value) for key, value in flat(config).items() if is_shared(key)))


def change(config: Config, row: tables.Row) -> Config:
    """Copy the experiment and make the changes of a row; ConfigError if one of them is none."""
    words = [word for word in row.changes if "=" not in word]
    try:
        changed = variants.turn(config, "+".join(words))
        for word in row.changes:
            if "=" in word:
                changed = variants.turn(changed, _product(changed, word))
    except ValueError as error:
        raise ConfigError(f"{row.name}: {error}") from None
    return changed


def plain(row: tables.Row) -> str:
    """Name a row's folder by its changes, which stay the same if the table's words change."""
    return re.sub(r"[^\w.=+-]+", "", "-".join(row.changes))


def _product(config: Config, word: str) -> str:
    """Turn KEY*=FACTOR into KEY=VALUE, a whole number where the key is one; leave KEY=VALUE as it is."""
    key, times, factor = word.partition("*=")
    if not times:
        return word
    value = attrgetter(key)(config) * ast.literal_eval(factor)
    return f"{key}={round(value) if isinstance(attrgetter(key)(config), int) else value}"


def published_of(table: tables.Table, experiment: str) -> tuple[Mapping[str, Sequence[float]], str]:
    """Give the published figures of each row for an experiment, and the transfer that they are of ("": none)."""
    name = experiment.partition("-")[0]  # without the variants
    transfer = tables.DRAWN.get(name, name)
    known = {row.name: row.published[transfer] for row in table.rows if transfer in row.published}
    return known, transfer if known else ""
