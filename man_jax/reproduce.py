"""Several seeds of source only, adapted and oracle, and the share of the gap that adaptation closes.

    python -m man_jax.reproduce --config configs/demo.py --seeds 0,1,2,3,4 --out runs/seeds

The oracle is the same run with true target labels in place of pseudo-labels, from the same pre-trained weights.
`--rows no_cpa,no_pda,adapt.sampling=reliable` runs these besides, each a variant of configs/variants.py or one key's
other value, and makes a table of what each gains or costs. They start from the same weights too, so what a row changes
it changes in adaptation only, and one that needs other weights is refused.

    python -m man_jax.reproduce --what table4 --transfer demo --seeds 0,1,2

runs the rows of a table, a sweep or a figure of the paper (configs/tables.py: table1 to table9, fig3, fig5 to fig9,
sigma) on the data of an experiment, configs/TRANSFER.py, and writes them beside the published figures, as Markdown, CSV
and pictures.

Started again, either command goes on where it stopped. `--workers 2` runs two rows at a time, each on half of the
cores. Started a second time beside the first, on another GPU or another host with the same folder, the command takes
the runs that nobody has.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags, logging
from ml_collections import config_flags

from data_pipelines.session.command_line import define_path
from man_jax.commands import run_command
from man_jax.config import ConfigError
from man_jax.process_flags import define_distributed, is_distributed
from man_jax.studies.planned_runs import PlannedRun, check_planned_runs, parse_seeds, planned_runs
from man_jax.studies.table_plan import find_table, plan_table, published_of
from man_jax.studies.workers import check_platform, helped_by, take_share

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "The experiment: its NAME or file, also with :VARIANT."
)
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2", "3", "4"], "Values of config.seed, separated by commas.")
ROWS = flags.DEFINE_list("rows", [], "Variants, or KEY=VALUE without the leading config., to compare with.")
WHAT = flags.DEFINE_string("what", "", "A table of the paper, e.g. table4, in place of --rows.")
flags.DEFINE_string(
    "transfer", None, "The experiment by its name: demo is short for --config configs/demo.py."
)
OUT = define_path("out", None, "Where the runs and the table are kept; runs/seeds, or runs/WHAT_EXPERIMENT.")
WORKERS = flags.DEFINE_integer(
    "workers", 1, "Runs at a time, each in a process with its share of the cores.", lower_bound=1
)
define_distributed("Run each run")
Shares = Sequence[Sequence[int]]
"""The cores of each further worker."""


def main() -> None:
    """Read the flags, run all runs, and print the tables."""
    seeds = parse_seeds(SEEDS.value)
    if is_distributed() and WORKERS.value > 1:
        raise ConfigError(
            f"--distributed and --workers {WORKERS.value}: the first runs each run on all processes, the second "
            f"several at a time; give one of them"
        )
    others = take_share(WORKERS.value)
    tables = compare_paper(seeds, others) if WHAT.value else compare_seeds(seeds, others)
    from man_jax.runs.multi_process import is_first_process  # slow: the flags are checked by now

    if is_first_process():
        print(tables)


def compare_seeds(seeds: Sequence[int], others: Shares) -> str:
    """Run adapted, oracle and the rows of --rows for each seed; write and return the tables."""
    from man_jax.reporting.result_tables import rows_table, seeds_table
    from man_jax.runs.hosts import check_same
    from man_jax.runs.multi_process import in_step
    from man_jax.sharding import make_mesh

    config, rows, out = CONFIG.value, ROWS.value, OUT.value or Path("runs/seeds")
    with in_step():
        check_planned_runs(config, seeds, out, rows=rows, num_devices=make_mesh().size)
    check_same({"--seeds": list(seeds), "--rows": rows})
    planned = {
        (seed, name): each
        for seed in seeds
        for name, each in planned_runs(config, seed, out, rows=rows).items()
    }
    summaries = run_all(planned, out, others)
    results = [seed_figures(summaries, seed, rows=rows) for seed in seeds]
    tables = "\n\n".join([seeds_table(results), *([rows_table(results)] if rows else [])])
    write({out / "table.md": tables + "\n", out / "results.json": json.dumps(results, indent=2) + "\n"})
    return tables


def compare_paper(seeds: Sequence[int], others: Shares) -> str:
    """Run the rows of the table --what for each seed; write and return it beside the published figures."""
    import jax

    from man_jax.reporting.paper_table import paper_csv, paper_table
    from man_jax.runs.hosts import check_same
    from man_jax.runs.multi_process import in_step
    from man_jax.sharding import make_mesh
    from man_jax.studies.table_lines import table_lines
    from man_jax.studies.table_pictures import write_pictures

    what, config, mesh = WHAT.value, CONFIG.value, make_mesh()
    if ROWS.value:
        raise ConfigError(f"--what {what} and --rows {','.join(ROWS.value)}: give one of them")
    table = find_table(what)
    out = OUT.value or Path("runs") / f"{what}_{config.experiment}"
    with in_step():
        plan = plan_table(table, config, seeds, out, num_devices=mesh.size)
    check_same({"--seeds": list(seeds), "the table": what, "the runs": [name for _, name in plan.runs]})
    for row, reason in plan.refused.items():
        logging.warning("%s is not run: %s", row, reason)
    published, transfer = published_of(table, config.experiment)
    lines = table_lines(
        table,
        plan.runs,
        run_all(plan.runs, out, others),
        published=published,
        refused=plan.refused,
        sizes=plan.sizes,
        mesh=mesh,
    )
    shape: Any = {"columns": table.columns, "published_of": transfer}
    text = paper_table(lines, **shape, title=f"{what}: {table.title}, {config.experiment}")
    pictures = write_pictures(table, what, plan.runs, lines, out, published_of=transfer, mesh=mesh)
    if jax.process_index() == 0:
        logging.info("pictures: %s", ", ".join(map(str, pictures)))
    write({out / f"{what}.md": text + "\n", out / f"{what}.csv": paper_csv(lines, **shape)})
    return text


def write(files: Mapping[Path, str]) -> None:
    """Write the files of a comparison, in the first process only."""
    import jax

    from man_jax.runs.metrics import replace_file

    if jax.process_index() == 0:
        for path, text in files.items():
            replace_file(path, text)


def run_all(
    planned: Mapping[tuple[int, str], PlannedRun], out: Path, others: Shares
) -> dict[tuple[int, str], dict[str, Any]]:
    """Run all planned runs, with the other workers if there are some; return their summaries by seed and name."""
    from man_jax.studies.run_rows import run_rows

    check_platform(1 + len(others))
    with helped_by(others, out, sys.argv[1:]):
        return run_rows(planned, workers=1 + len(others))


def seed_figures(
    summaries: Mapping[tuple[int, str], dict[str, Any]], seed: int, *, rows: Sequence[str]
) -> dict[str, Any]:
    """Collect the figures of one seed: {seed, source_only, adapted, best_on_test, oracle, rows: {row: figures}}."""
    figures = {row: summaries[seed, row]["adapted"] for row in ("oracle", *rows)}
    return summaries[seed, "adapted"] | {"oracle": figures.pop("oracle"), "rows": figures}


if __name__ == "__main__":
    run_command(main)
