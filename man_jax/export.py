"""Write the backbone of a run in the names of another library, as a .safetensors file.

    python -m man_jax.export --run runs/demo --modality R --out backbone.safetensors

The file loads into torchvision's or timm's network, and into `config.model.pretrained`. It holds one branch without its
neck and its heads.
"""

from pathlib import Path
from typing import Any

from absl import flags

from data_pipelines.session import disk
from data_pipelines.session.command_line import define_path
from man_jax.commands import run_command
from man_jax.config import Config, ConfigError

RUN = define_path("run", None, "The work directory of a run, finished or not.", required=True)
OUT = define_path("out", None, "The file to write; it ends in .safetensors.", required=True)
PRETRAINED = flags.DEFINE_bool(
    "pretrained", False, "The weights before adaptation, not those of the last checkpoint."
)
MODALITY = flags.DEFINE_string("modality", None, "Whose branch, e.g. R; needless if there is one branch.")
HALF = flags.DEFINE_bool("half", False, "Write float16, in half the space.")

TITLES = {"resnet": "torchvision or timm", "vit": "timm", "clip": "OpenAI"}
"""The library whose names the arrays of each backbone get."""


def main() -> None:
    """Read the flags and the run's weights, and write the file."""
    from man_jax.runs.past_config import run_config

    workdir, out = RUN.value.absolute(), OUT.value
    check_out(out)
    config = run_config(workdir)
    place = named_branch(MODALITY.value, config, workdir)
    variables, description = read_weights(workdir, config)
    content = written(config, variables, description, place=place, half=HALF.value)
    with disk.writing(out):
        disk.replace_file(out, content)
    print(
        f"{out}: branch {config.model.modalities[place]} of {workdir}, {description}, {len(content):,} bytes"
    )


def check_out(out: Path) -> None:
    """Check the name of the file to write; ConfigError if it is of another kind."""
    if out.suffix != ".safetensors":
        raise ConfigError(f"--out {out}: name a file that ends in .safetensors")


def named_branch(modality: str | None, config: Config, workdir: Path) -> int:
    """Find the place of the branch of a modality, or of the only branch; ConfigError if there is no such branch."""
    branches = list(config.model.modalities)
    name = modality or (branches[0] if len(branches) == 1 else None)
    if name not in branches:
        told = f"--modality {name}" if name else "--modality is missing"
        raise ConfigError(f"{told}; choose one of {', '.join(branches)}, the branches of {workdir}")
    return branches.index(name)


def written(config: Config, variables: Any, description: str, *, place: int, half: bool) -> bytes:
    """Make the content of the file: the backbone of the branch at `place`, in another library's names."""
    import numpy as np
    from safetensors.numpy import save

    from man_jax.networks.pretrained.matching import to_library_arrays
    from man_jax.networks.three_branch import backbone_of

    family = config.model.backbone
    arrays = to_library_arrays(backbone_of(variables, place), title=TITLES[family], family=family)
    kind = np.float16 if half else np.float32
    arrays = {name: np.ascontiguousarray(array, kind) for name, array in arrays.items()}
    return save(arrays, metadata=about(config, place, description))


def read_weights(workdir: Path, config: Config) -> tuple[Any, str]:
    """Read the variables of the network before or after adaptation, and say which they are."""
    from man_jax.engine.trained_network import tested_network
    from man_jax.runs.checkpoint import read_network, read_pretrained

    if PRETRAINED.value or not config.adapt.epochs:
        return read_pretrained(workdir), "pre-trained"
    step, _, variables = read_network(workdir, tested_network(config))
    return variables, f"step {step}"


def about(config: Config, place: int, description: str) -> dict[str, str]:
    """Tell in words of the file's header what its weights are and how their images were made."""
    height, width = config.data.image_size
    return {
        "format": "pt",
        "experiment": config.experiment,
        "weights": description,
        "modality": config.model.modalities[place],
        "image_size": f"{height}x{width}",
        "mean": str(tuple(config.augment.mean)),
        "std": str(tuple(config.augment.std)),
    }


if __name__ == "__main__":
    run_command(main)
