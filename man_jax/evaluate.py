"""What a trained model is worth on a data set's test identities, with all modalities or some (Table 9).

    python -m man_jax.evaluate --run runs/demo --modalities RNT,RN,R
    python -m man_jax.evaluate --run runs/demo --dataset folder --root /data/mine --out evaluated

Trains nothing, and reads of a run its configuration and its weights only. Without `--dataset` it is the run's own
target; images of more than 8 bits are scaled as that one's were, or from `--deep_range`. The data set needs a query and
a gallery with identities, and no training triples.
"""

import json

from absl import flags

from data_pipelines.checking.checks import check_queries
from data_pipelines.reading.datasets import READERS, read
from data_pipelines.reading.number_pairs import number_pair
from data_pipelines.reading.roles import require_scores
from data_pipelines.session.command_line import define_path
from data_pipelines.storing.images import ImageSettings, check_deep_range
from man_jax.commands import run_command
from man_jax.config import Config, ConfigError, check_config

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
OUT = define_path("out", None, "Where evaluation.json and ranking.png go; not written if not given.")


def main() -> None:
    """Read the flags, extract features, and print the table."""
    import jax

    from data_pipelines.storing.builders import prepare_read
    from man_jax.engine.evaluation import distances_by_subset, rank
    from man_jax.engine.ranking_picture import draw_rankings
    from man_jax.engine.trained_network import open_trained
    from man_jax.reporting.result_tables import results_table
    from man_jax.runs.metrics import replace_file
    from man_jax.runs.past_config import run_config
    from man_jax.sharding import make_mesh

    workdir, mesh = RUN.value.absolute(), make_mesh()
    config = run_config(workdir)
    check_config(config, num_devices=mesh.size)
    deep_range = named_range(config)
    name, root = named_dataset(config)
    dataset = read(name, root)
    require_scores(dataset)
    check_queries(dataset)  # its warnings come when the set is prepared
    present = tuple(each for each in config.model.modalities if each in dataset.modalities)
    if not present:
        raise ConfigError(
            f"{name} in {root} has none of the modalities {', '.join(config.model.modalities)} of {workdir}"
        )
    subsets = [chosen(row, present) for row in MODALITIES.value or ["".join(present)]]
    network = open_trained(workdir, config, pretrained=PRETRAINED.value, present=present, mesh=mesh)
    data = prepare_read(
        dataset,
        config.data.prepared,
        # The settings include the filter of train, so that the set which training prepared is found.
        ImageSettings(tuple(config.data.image_size), deep_range, config.data.train_filter),
        modalities=present,
        deep_range_option="--deep_range",
    )
    found = distances_by_subset(
        network.extract,
        network.variables,
        data,
        subsets,
        present=present,
        batch_size=config.evaluation.batch_size,
        mesh=mesh,
    )
    distances = {"+".join(subset): each for subset, each in found.items()}
    figures = {row: rank(found, data).as_dict() for row, found in distances.items()}
    print(f"{workdir}, {network.description}, on {name} in {root}")
    print(results_table(figures))
    if OUT.value and jax.process_index() == 0:
        out = OUT.value
        row, first = next(iter(distances.items()))
        title = f"{workdir}, {network.description}, on {name}, by {row}"
        draw_rankings(first, data, out / "ranking.png", seed=config.seed, title=title)
        about = {"run": str(workdir), "weights": network.description, "dataset": name, "root": root}
        replace_file(out / "evaluation.json", json.dumps(about | {"figures": figures}, indent=2) + "\n")
        print(f"{out}: evaluation.json, and ranking.png of the first row")


def named_dataset(config: Config) -> tuple[str, str]:
    """Find the name and the root of the data set to evaluate on."""
    target = config.data.target
    if DATASET.value and not ROOT.value:
        raise ConfigError(f"--dataset is {DATASET.value} and --root is missing; give its folder or table")
    return DATASET.value or target.name, str(ROOT.value or target.root)


def named_range(config: Config) -> tuple[int, int]:
    """Find the raw values that become 0 and 255: those of the flag, or those of the run's target."""
    if DEEP.value is None:
        low, high = config.data.target.deep_range
        return low, high
    deep_range = number_pair("deep_range", DEEP.value, "0,16383", least=0)
    check_deep_range(deep_range)
    return deep_range


def chosen(row: str, present: tuple[str, ...]) -> tuple[str, ...]:
    """Read the modalities of one row, which is written like RN."""
    if not row or any(row.count(each) > 1 or each not in present for each in row):
        raise ConfigError(
            f"--modalities {row}: write each once, of {', '.join(present)}; rows are joined by commas"
        )
    return tuple(each for each in present if each in row)


if __name__ == "__main__":
    run_command(main)
