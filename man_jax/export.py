"""Write the network of a run for other programs: weights, a program that gives features, or a folder for the hub.

    python -m man_jax.export --run runs/demo --out run.safetensors
    python -m man_jax.export --run runs/demo --modality R --out backbone.safetensors
    python -m man_jax.export --run runs/demo --format stablehlo --out features.stablehlo
    python -m man_jax.export --run runs/demo --format onnx --out features.onnx
    python -m man_jax.export --run runs/demo --format hub --out hub_demo --push_to OWNER/NAME

docs/EXPORT.md has the code that loads each of them. Weights have torchvision's or timm's names, and load into
`config.model.pretrained`.
"""

from absl import flags

from data_pipelines.session.command_line import define_path
from man_jax.commands import run_command

RUN = define_path("run", None, "The work directory of a run, finished or not.", required=True)
OUT = define_path("out", None, "The file to write; for the format hub, the folder.", required=True)
FORMAT = flags.DEFINE_enum(
    "format",
    "safetensors",
    ["safetensors", "stablehlo", "onnx", "hub"],
    "safetensors: weights | stablehlo, onnx: a program from images to features | hub: a folder for Hugging Face's hub",
)
PRETRAINED = flags.DEFINE_bool(
    "pretrained", False, "The weights before adaptation, not those of the last checkpoint."
)
MODALITY = flags.DEFINE_string(
    "modality", None, "Of safetensors: whose branch alone, e.g. R; all if not given."
)
HALF = flags.DEFINE_bool("half", False, "Of safetensors and hub: write float16, in half the space.")
LICENSE = flags.DEFINE_string(
    "license", "unknown", "Of hub: the licence of the weights, which the data's terms may limit."
)
PUSH_TO = flags.DEFINE_string(
    "push_to", None, "Of hub: upload the folder to this repository, OWNER/NAME; a new one is private."
)


def main() -> None:
    """Read the flags and the run's weights, and write the file or the folder."""
    from man_jax.engine.exporting import Wish, check_wish, export
    from man_jax.runs.past_config import run_config

    wish = Wish(
        out=OUT.value,
        format=FORMAT.value,
        modality=MODALITY.value,
        half=HALF.value,
        license=LICENSE.value,
        push_to=PUSH_TO.value,
    )
    workdir = RUN.value.absolute()
    check_wish(wish)
    config = run_config(workdir)
    before = PRETRAINED.value or not config.adapt.epochs
    for line in export(wish, workdir, config, pretrained=before):
        print(line)


if __name__ == "__main__":
    run_command(main)
