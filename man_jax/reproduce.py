"""Several seeds of source only, adapted and oracle, and the share of the gap that adaptation closes.

    python -m man_jax.reproduce --config configs/demo.py --seeds 0,1,2,3,4 --out runs/seeds

The oracle is the same run with true target labels in place of pseudo-labels, from the same pre-trained weights.
`--rows no_cpa,no_pda,adapt.sampling=reliable` runs these besides, each a variant of configs/variants.py or one key's
other value, and makes a table of what each gains or costs. They start from the same weights too, so what a row changes
it changes in adaptation only, and one that needs other weights is refused. Started again, it goes on where it stopped.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from absl import flags
from ml_collections import config_flags

from man_jax.command import run_command
from man_jax.comparison import check_comparison, parse_seeds, planned_runs
from man_jax.config import Config
from man_jax.engine.metrics import replace_file
from man_jax.engine.run import run
from man_jax.engine.sharding import make_mesh
from man_jax.reporting.tables import rows_table, seeds_table

CONFIG = config_flags.DEFINE_config_file("config", None, "The experiment: configs/NAME.py[:VARIANT].")
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2", "3", "4"], "Values of config.seed, separated by commas.")
ROWS = flags.DEFINE_list("rows", [], "Variants, or KEY=VALUE without the leading config., to compare with.")
OUT = flags.DEFINE_string("out", "runs/seeds", "Where the runs and table.md are kept.")


def main() -> None:
    """Flags → runs → table."""
    config, rows, out = CONFIG.value, ROWS.value, Path(OUT.value)
    seeds = parse_seeds(SEEDS.value)
    check_comparison(config, seeds, out, rows=rows, num_devices=make_mesh().size)
    results = [run_seed(config, seed, out, rows=rows) for seed in seeds]
    tables = "\n\n".join([seeds_table(results), *([rows_table(results)] if rows else [])])
    if jax.process_index() == 0:
        replace_file(out / "table.md", tables + "\n")
        replace_file(out / "results.json", json.dumps(results, indent=2) + "\n")
    print(tables)


def run_seed(config: Config, seed: int, out: Path, *, rows: Sequence[str] = ()) -> dict[str, Any]:
    """One seed's figures: {seed, source_only, adapted, best_on_test, oracle, rows: {row: figures}}."""
    planned = planned_runs(config, seed, out, rows=rows)
    summaries = {name: run(each.config, each.workdir) for name, each in planned.items()}
    figures = {name: summary["adapted"] for name, summary in summaries.items()}
    return summaries["adapted"] | {"oracle": figures["oracle"], "rows": {row: figures[row] for row in rows}}


if __name__ == "__main__":
    run_command(main)
