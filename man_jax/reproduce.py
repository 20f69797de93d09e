"""Several seeds of source only, adapted and oracle, and the share of the gap that adaptation closes.

    python -m man_jax.reproduce --config configs/demo.py --seeds 0,1,2,3,4 --out runs/seeds

The oracle is the same run with true target labels in place of pseudo-labels, from the same pre-trained weights.
`--rows no_cpa,no_pda,adapt.sampling=reliable` runs these besides, each a variant of configs/variants.py or one key's
other value, and makes a table of what each gains or costs. Started again, it goes on where it stopped.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

from configs import variants
from man_jax.command import run_command
from man_jax.config import Config, ConfigError
from man_jax.engine.run import run
from man_jax.reporting.tables import rows_table, seeds_table

CONFIG = config_flags.DEFINE_config_file("config", None, "The experiment: configs/NAME.py[:VARIANT].")
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2", "3", "4"], "Values of config.seed, separated by commas.")
ROWS = flags.DEFINE_list("rows", [], "Variants, or KEY=VALUE without the leading config., to compare with.")
OUT = flags.DEFINE_string("out", "runs/seeds", "Where the runs and table.md are kept.")


def main() -> None:
    """Flags → runs → table."""
    out = Path(OUT.value)
    for row in ROWS.value:  # refuse a misspelt one now and not after hours
        turned(CONFIG.value, row)
    results = [run_seed(CONFIG.value, int(seed), out, rows=ROWS.value) for seed in SEEDS.value]
    tables = [seeds_table(results), *([rows_table(results)] if ROWS.value else [])]
    (out / "table.md").write_text("\n\n".join(tables) + "\n")
    (out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    print("\n\n".join(tables))


def run_seed(config: Config, seed: int, out: Path, *, rows: Sequence[str] = ()) -> dict[str, Any]:
    """One seed's figures: {seed, source_only, adapted, best_on_test, oracle, rows: {row: figures}}."""
    config = config.copy_and_resolve_references()
    config.seed = seed
    adapted_dir = out / f"seed{seed}-adapted"
    summary = run(config, adapted_dir)
    config.pretrain.init_from = str(adapted_dir)
    config.model.pretrained = ""  # what that run started from is in its weights already
    others = {
        row: run(turned(config, row), out / f"seed{seed}-{row.replace('/', '_')}")["adapted"]
        for row in ("oracle", *rows)
    }
    return summary | {"oracle": others.pop("oracle"), "rows": others}


def turned(config: Config, row: str) -> Config:
    """The configuration as the row has it; ConfigError if there is no such row."""
    try:
        return variants.turn(config, row)
    except ValueError as error:
        raise ConfigError(f"--rows {row}: {error}") from None


if __name__ == "__main__":
    run_command(main)
