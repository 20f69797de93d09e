"""Write the features of your own triples to a file, with the paths of their images.

    python -m man_jax.predict --run runs/demo --data photos --out features.npz

`--data` is a folder with R/, N/ and T/ and files of one name for each triple, a folder in the layout of any data set,
or a table (CSV or Parquet) with columns of paths R, N, T. Neither labels nor the training data are needed. The file,
`.npz` or `.parquet`, is read by `python -m man_jax.search`, by `man_jax.retrieval.feature_file.read_features`, and by
numpy or pandas alone. `--projector FOLDER` also writes the features for TensorBoard's embedding projector, with small
images (`tensorboard --logdir FOLDER`).
"""

import shutil
from pathlib import Path

from absl import flags

from data_pipelines.reading.datasets import READERS
from data_pipelines.reading.number_pairs import number_pair
from data_pipelines.reading.records import SPLITS, DataError
from data_pipelines.session import disk
from data_pipelines.session.command_line import define_path
from data_pipelines.session.interruption import kept
from data_pipelines.storing.images import check_deep_range
from data_pipelines.storing.room import check_place
from man_jax.commands import run_command
from man_jax.config import ConfigError
from man_jax.process_flags import define_distributed, is_distributed

RUN = define_path("run", None, "The work directory of a run, finished or not.", required=True)
DATA = define_path("data", None, "A folder of images, or a table of their paths.", required=True)
OUT = define_path("out", None, "The file to write; it ends in .npz or .parquet.", required=True)
PRETRAINED = flags.DEFINE_bool(
    "pretrained", False, "The weights before adaptation, not those of the last checkpoint."
)
MODALITIES = flags.DEFINE_string("modalities", None, "Some modalities, e.g. RN; all there are if not given.")
DATASET = flags.DEFINE_enum(
    "dataset", None, sorted(READERS), "Whose layout the folder has, if it fits several."
)
SPLIT = flags.DEFINE_enum("split", None, SPLITS, "Its triples only; all triples, each once, if not given.")
DEEP = flags.DEFINE_string(
    "deep_range",
    None,
    "Raw values that become 0 and 255, of images of more than 8 bits, e.g. 0,16383; the target's if not given.",
)
BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", None, "Triples computed at once; that of the run's evaluation if not given.", lower_bound=1
)
PROJECTOR = define_path("projector", None, "A new folder for TensorBoard's embedding projector.")
define_distributed("Take features")
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace a file that is there already.")


def main() -> None:
    """Read the flags, take the features, and write the file."""
    from man_jax.retrieval.feature_file import check_feature_path, partial_of, write_features

    out = OUT.value.absolute()
    check_feature_path(out)
    if not is_distributed():
        check_places(out)  # at once; of several processes the first one does it below
    deep_range = None
    if DEEP.value is not None:
        deep_range = number_pair("deep_range", DEEP.value, "0,16383", least=0)
        check_deep_range(deep_range)

    from man_jax.engine.run_data import open_triples
    from man_jax.runs.hosts import check_same, facts_of_run
    from man_jax.runs.multi_process import in_step, is_first_process
    from man_jax.trained_run import open_run

    def describe() -> str:
        if is_first_process():
            partial_of(out).unlink(missing_ok=True)
        return f"{out} is not written; start the same command again"

    with kept(describe):
        with in_step():
            if is_distributed() and is_first_process():
                check_places(out)
            run = open_run(RUN.value, pretrained=PRETRAINED.value)
            triples = open_triples(
                run.config,
                DATA.value,
                MODALITIES.value,
                dataset=DATASET.value,
                split=SPLIT.value,
                deep_range=deep_range,
                deep_range_option="--deep_range",
            )
            if is_first_process():
                check_room(out, len(triples) * run.length(triples.modalities) * 4)
        check_same(facts_of_run(run.path, run.config))
        file = run.features(triples, batch_size=BATCH_SIZE.value)
        if not is_first_process():
            return  # it had its part in the features
        with disk.writing(out, then="nothing of the file is left; start the same command again"):
            write_features(out, file)
    if PROJECTOR.value:
        from man_jax.engine.projector_folder import write_projector

        with disk.writing(PROJECTOR.value):
            write_projector(PROJECTOR.value, file, triples.read)
    print(f"{run.path}, {run.description}, on {DATA.value}")
    number, length = file.features.shape
    print(
        f"{out}: {number:,} triples of {'+'.join(file.modalities)}, {length} numbers each, with their paths"
    )


def check_places(out: Path) -> None:
    """Check that all that is asked for can be written, before any work: ConfigError or DataError if not."""
    check_out(out)
    if PROJECTOR.value:
        check_new_folder(PROJECTOR.value)


def check_out(out: Path) -> None:
    """Check that the file can be written, before any work: ConfigError or DataError if not."""
    if out.is_dir():
        raise ConfigError(f"--out {out} is a folder; name a file in it, such as {out / 'features.npz'}")
    if out.exists() and not OVERWRITE.value:
        raise ConfigError(f"--out {out} exists; name another file, or add --overwrite to replace it")
    check_place(out.parent)


def check_new_folder(folder: Path) -> None:
    """Check that a folder can be made, before any work: ConfigError or DataError if not."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ConfigError(f"--projector {folder} exists; name a new folder")
    check_place(folder)


def check_room(out: Path, num_bytes: int) -> None:
    """Check that the disk has room for features of so many bytes; DataError if not."""
    nearest = next(path for path in out.parents if path.exists())
    free = shutil.disk_usage(nearest).free
    if free < num_bytes:
        raise DataError(
            f"{out}: the features need {num_bytes / 2**20:,.0f} MiB, and the disk has {free / 2**20:,.0f} MiB free; "
            f"free space or choose another disk"
        )


if __name__ == "__main__":
    run_command(main)
