"""Several seeds of source only, adapted and oracle, and the share of the gap that adaptation closes.

    python -m man_jax.reproduce --config configs/demo.py --seeds 0,1,2,3,4 --out runs/seeds

The oracle is the same run with true target labels in place of pseudo-labels, from the same pre-trained weights.
Started again, it goes on where it stopped.
"""

import json
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

from man_jax.command import run_command
from man_jax.config import Config
from man_jax.engine.run import run
from man_jax.reporting.tables import seeds_table

CONFIG = config_flags.DEFINE_config_file("config", None, "The experiment: configs/NAME.py[:smoke].")
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2", "3", "4"], "Values of config.seed, separated by commas.")
OUT = flags.DEFINE_string("out", "runs/seeds", "Where the runs and table.md are kept.")


def main() -> None:
    """Flags → runs → table."""
    out = Path(OUT.value)
    results = [run_seed(CONFIG.value, int(seed), out) for seed in SEEDS.value]
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
    config.model.pretrained = ""  # what that run started from is in its weights already
    oracle = run(config, out / f"seed{seed}-oracle")
    return summary | {"oracle": oracle["adapted"]}


if __name__ == "__main__":
    run_command(main)
