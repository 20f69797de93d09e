"""What a trained model is worth on a data set's test identities, with all modalities or some (Table 9).

    python -m man_jax.evaluate --run runs/demo --modalities RNT,RN,R
    python -m man_jax.evaluate --run runs/demo --dataset folder --source /data/mine --out evaluated

Trains nothing, and reads of a run its configuration and its weights only. Without `--dataset` it is the run's own
target; images of more than 8 bits are scaled as that one's were.
"""

import json
from pathlib import Path

import jax
from absl import flags

from configs import default
from data_pipelines.builders import prepare_dataset
from data_pipelines.datasets import READERS, read
from man_jax.command import run_command
from man_jax.config import Config, ConfigError, check_config
from man_jax.engine.evaluation import extract_query_gallery, rank, retrieval_distances
from man_jax.engine.metrics import replace_file
from man_jax.engine.ranking_picture import draw_rankings
from man_jax.engine.sharding import make_mesh
from man_jax.engine.trained import open_trained
from man_jax.engine.workdir import read_config
from man_jax.reporting.tables import results_table

RUN = flags.DEFINE_string("run", None, "The work directory of a run, finished or not.", required=True)
PRETRAINED = flags.DEFINE_bool(
    "pretrained", False, "The weights before adaptation, not those of the last checkpoint."
)
MODALITIES = flags.DEFINE_list("modalities", [], "A row each, e.g. RNT,RN,R; all there are if not given.")
DATASET = flags.DEFINE_enum("dataset", None, sorted(READERS), "Another data set than the run's target.")
SOURCE = flags.DEFINE_string("source", None, "Its folder or table; the target's if that has moved.")
OUT = flags.DEFINE_string("out", None, "Where evaluation.json and ranking.png go; not written if not given.")


def main() -> None:
    """Flags → features → table."""
    run, mesh = Path(RUN.value), make_mesh()
    config = run_config(run)
    check_config(config, num_devices=mesh.size)
    name, root = named_dataset(config)
    present = tuple(each for each in config.model.modalities if each in read(name, root).modalities)
    if not present:
        raise ConfigError(
            f"{name} in {root} has none of the modalities {', '.join(config.model.modalities)} of {run}"
        )
    subsets = [chosen(row, present) for row in MODALITIES.value or ["".join(present)]]
    trained = open_trained(run, config, pretrained=PRETRAINED.value, present=present, mesh=mesh)
    data = prepare_dataset(
        name,
        root,
        config.data.prepared,
        tuple(config.data.image_size),
        tuple(config.data.target.deep_range),
        modalities=present,
    )
    features = extract_query_gallery(
        trained.extract, trained.variables, data, batch_size=config.evaluation.batch_size, mesh=mesh
    )
    distances = {
        "+".join(subset): retrieval_distances(features, present=[present.index(each) for each in subset])
        for subset in subsets
    }
    figures = {row: rank(found, data).as_dict() for row, found in distances.items()}
    print(f"{run}, {trained.description}, on {name} in {root}")
    print(results_table(figures))
    if OUT.value and jax.process_index() == 0:
        out = Path(OUT.value)
        row, first = next(iter(distances.items()))
        title = f"{run}, {trained.description}, on {name}, by {row}"
        draw_rankings(first, data, out / "ranking.png", seed=config.seed, title=title)
        about = {"run": str(run), "weights": trained.description, "dataset": name, "root": root}
        replace_file(out / "evaluation.json", json.dumps(about | {"figures": figures}, indent=2) + "\n")
        print(f"{out}: evaluation.json, and ranking.png of the first row")


def run_config(run: Path) -> Config:
    """The configuration of a run; keys that are younger than the run have their defaults."""
    config = default.get_config()
    try:
        config.update(read_config(run))
    except KeyError as error:
        raise ConfigError(
            f"{run} was made by another version, with a key there is no more: {error}"
        ) from error
    return config


def named_dataset(config: Config) -> tuple[str, str]:
    """(name, root) of the data set to evaluate on."""
    target = config.data.target
    if DATASET.value and not SOURCE.value:
        raise ConfigError(f"--dataset is {DATASET.value} and --source is missing; give its folder or table")
    return DATASET.value or target.name, SOURCE.value or target.root


def chosen(row: str, present: tuple[str, ...]) -> tuple[str, ...]:
    """The modalities of one row, written as in RN."""
    if not row or any(row.count(each) > 1 or each not in present for each in row):
        raise ConfigError(
            f"--modalities {row}: write each once, of {', '.join(present)}; rows are joined by commas"
        )
    return tuple(each for each in present if each in row)


if __name__ == "__main__":
    run_command(main)
