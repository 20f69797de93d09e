"""What a trained model is worth on a data set's test identities, with all modalities or some (Table 9).

    python -m man_jax.evaluate --run runs/demo --modalities RNT,RN,R
    python -m man_jax.evaluate --run runs/demo --dataset folder --root /data/mine --out evaluated
    python -m man_jax.evaluate --run runs/demo --rerank --query_expansion 5 --bootstrap 1000 --breakdown

Trains nothing, and reads of a run its configuration and its weights only. Without `--dataset` it is the run's own
target; images of more than 8 bits are scaled as that one's were, or from `--deep_range`. The data set needs a query and
a gallery with identities, and no training triples. docs/EVALUATION.md explains every option.
"""

import json
from typing import Any, cast, get_args

from absl import flags

from data_pipelines.checking.checks import check_queries, judged_by
from data_pipelines.reading.datasets import READERS, read
from data_pipelines.reading.number_pairs import number_pair
from data_pipelines.reading.records import Dataset, Removal
from data_pipelines.reading.roles import require_scores
from data_pipelines.session.command_line import define_path
from man_jax.commands import run_command
from man_jax.config import Config, ConfigError, check_config
from man_jax.evaluation_flags import define_expansion, define_rerank
from man_jax.process_flags import define_distributed

OWN_RULE = "dataset"

RUN = define_path("run", None, "The work directory of a run, finished or not.", required=True)
PRETRAINED = flags.DEFINE_bool(
    "pretrained", False, "The weights before adaptation, not those of the last checkpoint."
)
MODALITIES = flags.DEFINE_list("modalities", [], "A row each, e.g. RNT,RN,R; all there are if not given.")
DATASET = flags.DEFINE_enum("dataset", None, sorted(READERS), "Another data set than the run's target.")
ROOT = define_path("root", None, "Its folder or table; the target's if that has moved.")
DEEP = flags.DEFINE_string(
    "deep_range",
    None,
    "Raw values that become 0 and 255, of images of more than 8 bits, e.g. 0,16383; the target's if not given.",
)
PROTOCOL = flags.DEFINE_enum(
    "protocol",
    OWN_RULE,
    [OWN_RULE, *get_args(Removal)],
    "Which gallery triples of the query's identity are removed: of its camera, of its scene, none, or by the data "
    "set's own rule.",
)
EXPANSION = define_expansion(
    "query_expansion",
    "K or K,ALPHA: a row more, with queries moved towards their K nearest gallery triples.",
)
RERANK = define_rerank(
    "rerank",
    "A row more, re-ranked by k-reciprocal neighbours; --rerank=K1,K2,LAMBDA, 20,6,0.3 if not given.",
)
DRAWS = flags.DEFINE_integer(
    "bootstrap", None, "Intervals of mAP and R1 by so many draws of the query identities.", lower_bound=100
)
BREAKDOWN = flags.DEFINE_bool(
    "breakdown", False, "Also each modality alone, each camera's queries, and mAP from camera to camera."
)
EVERY = flags.DEFINE_bool("every_checkpoint", False, "Rows for each checkpoint that is kept.")
define_distributed("Take features")
OUT = define_path("out", None, "Where evaluation.json and ranking.png go; not written if not given.")


def main() -> None:
    """Read the flags, extract features, and print the table."""
    from data_pipelines.storing.builders import prepare_read
    from man_jax.engine.evaluation_rows import Asked, evaluate_networks, with_single_modalities
    from man_jax.engine.evaluation_tables import rows_record, rows_text
    from man_jax.engine.ranking_picture import draw_rankings
    from man_jax.engine.run_data import image_settings, modalities_present
    from man_jax.engine.trained_network import open_every_checkpoint, open_trained
    from man_jax.runs.hosts import check_same, facts_of_data, facts_of_run
    from man_jax.runs.multi_process import in_step, is_first_process
    from man_jax.runs.past_config import run_config
    from man_jax.runs.used_data import describe_test
    from man_jax.sharding import make_mesh

    if EVERY.value and PRETRAINED.value:
        raise ConfigError("--pretrained and --every_checkpoint: give one of them")
    workdir, mesh = RUN.value.absolute(), make_mesh()
    with in_step():
        config = run_config(workdir)
        check_config(config, num_devices=mesh.size)
        asked = Asked(EXPANSION.value, RERANK.value, DRAWS.value or 0, BREAKDOWN.value, seed=config.seed)
        settings = image_settings(config, named_range())
        name, root = named_dataset(config)
        dataset = read(name, root)
        require_scores(dataset)
        judged = named_rule(dataset)
        asked.check(judged)
        present = modalities_present(config, dataset)
        subsets = [chosen(row, present) for row in MODALITIES.value or ["".join(present)]]
        if asked.breakdown:
            subsets = with_single_modalities(subsets, present)
        data = prepare_read(
            dataset,
            config.data.prepared,
            settings,
            modalities=present,
            deep_range_option="--deep_range",
            removal=judged.removal,
        )
    check_same(facts_of_run(workdir, config) | facts_of_data(describe_test(data)))
    if EVERY.value:
        networks = open_every_checkpoint(workdir, config, present=present, mesh=mesh)
    else:
        networks = [open_trained(workdir, config, pretrained=PRETRAINED.value, present=present, mesh=mesh)]
    found = evaluate_networks(
        networks, data, subsets, asked, present=present, batch_size=config.evaluation.batch_size, mesh=mesh
    )
    if not is_first_process():
        return  # the first process has all features too, and it writes
    print(f"{workdir}, {found.weights}, on {name} in {root}, rule: {data.removal}")
    print(rows_text(found.rows, asked))
    if OUT.value and found.first is not None:
        title = f"{workdir}, {found.weights}, on {name}, by {next(iter(found.rows))}"
        draw_rankings(found.first, data, OUT.value / "ranking.png", seed=config.seed, title=title)
        about = {"run": str(workdir), "weights": found.weights, "dataset": name, "root": root}
        write_record(about | {"protocol": data.removal} | rows_record(found.rows, asked))


def write_record(record: dict[str, Any]) -> None:
    """Write evaluation.json beside the picture, and say so."""
    from man_jax.runs.metrics import replace_file

    replace_file(OUT.value / "evaluation.json", json.dumps(record, indent=2) + "\n")
    print(f"{OUT.value}: evaluation.json, and ranking.png of the first row")


def named_rule(dataset: Dataset) -> Dataset:
    """Give the data set the removal rule of the flag, and check that its queries have matches under it."""
    judged = dataset if PROTOCOL.value == OWN_RULE else judged_by(dataset, cast(Removal, PROTOCOL.value))
    check_queries(judged)  # its warnings come when the set is prepared
    return judged


def named_dataset(config: Config) -> tuple[str, str]:
    """Find the name and the root of the data set to evaluate on."""
    target = config.data.target
    if DATASET.value and not ROOT.value:
        raise ConfigError(f"--dataset is {DATASET.value} and --root is missing; give its folder or table")
    return DATASET.value or target.name, str(ROOT.value or target.root)


def named_range() -> tuple[int, int] | None:
    """Read the raw values that become 0 and 255; None if the flag does not name them."""
    return None if DEEP.value is None else number_pair("deep_range", DEEP.value, "0,16383", least=0)


def chosen(row: str, present: tuple[str, ...]) -> tuple[str, ...]:
    """Read the modalities of one row, which is written like RN."""
    if not row or any(row.count(each) > 1 or each not in present for each in row):
        raise ConfigError(
            f"--modalities {row}: write each once, of {', '.join(present)}; rows are joined by commas"
        )
    return tuple(each for each in present if each in row)


if __name__ == "__main__":
    run_command(main)
