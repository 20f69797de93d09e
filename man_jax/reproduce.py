"""Several seeds of source only, adapted and oracle, and the share of the gap that adaptation closes.

    python -m man_jax.reproduce --config configs/demo.py --seeds 0,1,2,3,4 --out runs/seeds

The oracle is the same run with true target labels in place of pseudo-labels, from the same pre-trained weights.
Started again, it goes on where it stopped.
"""

import json
import sys
from pathlib import Path
from typing import Any

from absl import app, flags
from ml_collections import config_flags

from data_pipelines.records import DataError
from man_jax.command import parse_command
from man_jax.config import Config, ConfigError
from man_jax.engine.run import run
from man_jax.engine.workdir import WorkdirError
from man_jax.reporting.tables import seeds_table

CONFIG = config_flags.DEFINE_config_file("config", None, "The experiment: configs/NAME.py[:smoke].")
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2", "3", "4"], "Values of config.seed, separated by commas.")
OUT = flags.DEFINE_string("out", "runs/seeds", "Where the runs and table.md are kept.")


def main(argv: list[str]) -> None:
    """Flags → runs → table."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; overrides are written --config.key=value")
    out = Path(OUT.value)
    try:
        results = [run_seed(CONFIG.value, int(seed), out) for seed in SEEDS.value]
    except (ConfigError, DataError, WorkdirError) as error:
        sys.exit(f"error: {error}")
    table = seeds_table(results)
    (out / "table.md").write_text(table + "\n")
    (out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    print(table)


def run_seed(config: Config, seed: int, out: Path) -> dict[str, Any]:
    """One seed's figures: {seed, source_only, adapted, best_on_test, oracle}."""
    config = config.copy_and_resolve_references()
    config.seed = seed
    adapted_dir = out / f"seed{seed}-adapted"
    summary = run(config, adapted_dir)
    config.adapt.labels = "truth"
    config.pretrain.init_from = str(adapted_dir)
    oracle = run(config, out / f"seed{seed}-oracle")
    return summary | {"oracle": oracle["adapted"]}


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    app.run(main, flags_parser=parse_command)
