"""Write the backbone of a run in the names of another library, as a .safetensors file.

    python -m man_jax.export --run runs/demo --modality R --out backbone.safetensors

The file loads into torchvision's or timm's network, and into `config.model.pretrained`. It holds one branch without its
neck and its heads.
"""

from absl import flags

from data_pipelines.session import disk
from data_pipelines.session.command_line import define_path
from man_jax.commands import run_command

RUN = define_path("run", None, "The work directory of a run, finished or not.", required=True)
OUT = define_path("out", None, "The file to write; it ends in .safetensors.", required=True)
PRETRAINED = flags.DEFINE_bool(
    "pretrained", False, "The weights before adaptation, not those of the last checkpoint."
)
MODALITY = flags.DEFINE_string("modality", None, "Whose branch, e.g. R; needless if there is one branch.")
HALF = flags.DEFINE_bool("half", False, "Write float16, in half the space.")


def main() -> None:
    """Read the flags and the run's weights, and write the file."""
    from man_jax.engine.branch_file import check_out, named_branch, written
    from man_jax.engine.trained_network import read_weights
    from man_jax.runs.past_config import run_config

    workdir, out = RUN.value.absolute(), OUT.value
    check_out(out)
    config = run_config(workdir)
    place = named_branch(MODALITY.value, config, workdir)
    before = PRETRAINED.value or not config.adapt.epochs
    variables, description = read_weights(workdir, config, pretrained=before)
    content = written(config, variables, description, place=place, half=HALF.value)
    with disk.writing(out):
        disk.replace_file(out, content)
    print(
        f"{out}: branch {config.model.modalities[place]} of {workdir}, {description}, {len(content):,} bytes"
    )


if __name__ == "__main__":
    run_command(main)
