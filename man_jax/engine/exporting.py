"""Export the network of a run: check what is wished before any weights are read, then write it whole."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from data_pipelines.session import disk
from man_jax.config import Config, ConfigError
from man_jax.engine.branch_file import named_branch, written
from man_jax.engine.features_program import PLATFORMS, stablehlo
from man_jax.engine.hub_folder import check_hub_folder, check_repository, push, write_hub_folder
from man_jax.engine.network_facts import network_facts, program_facts
from man_jax.engine.onnx_program import check_convertible, check_onnx, onnx_program
from man_jax.engine.trained_network import read_weights
from man_jax.runs.published import has_published_weights

SUFFIXES = {"safetensors": ".safetensors", "stablehlo": ".stablehlo", "onnx": ".onnx"}
OPTIONS = {
    "modality": ("safetensors",),
    "half": ("safetensors", "hub"),
    "license": ("hub",),
    "push_to": ("hub",),
}
"""The formats that each further flag belongs to."""


class Wish(NamedTuple):
    """What is to be written, as the flags of `man_jax.export` say."""

    out: Path
    format: str = "safetensors"
    """safetensors | stablehlo | onnx | hub"""
    modality: str | None = None
    half: bool = False
    license: str = "unknown"
    push_to: str | None = None


def check_wish(wish: Wish) -> None:
    """Check that the flags belong together and that the place may be written to.

    Raises:
        ConfigError: they do not; the message names the flag and the remedy.
    """
    for name, formats in OPTIONS.items():
        value = getattr(wish, name)
        if value != Wish._field_defaults[name] and wish.format not in formats:
            raise ConfigError(
                f"--{name} has no meaning with --format {wish.format}; leave it out, or choose "
                f"--format {' or '.join(formats)}"
            )
    if wish.format == "hub":
        check_hub_folder(wish.out)
        if wish.push_to is not None:
            check_repository(wish.push_to)
    elif wish.out.suffix != (suffix := SUFFIXES[wish.format]):
        raise ConfigError(f"--out {wish.out}: name a file that ends in {suffix}")
    elif wish.format == "onnx":
        check_onnx()
    if wish.format != "hub" and wish.out.is_dir():
        raise ConfigError(f"--out {wish.out} is a folder; name a file in it")


def export(wish: Wish, workdir: Path, config: Config, *, pretrained: bool) -> Iterator[str]:
    """Write what is wished of the run in `workdir`; yield a line about each thing that was written.

    Raises:
        ConfigError: the run has no such weights, or the format cannot hold them.
        DiskError: the disk refuses.
    """
    if wish.format == "hub" and has_published_weights(workdir):
        raise ConfigError(
            f"--run {workdir} is a folder of the hub already; copy it, or upload it by `hf upload OWNER/NAME {workdir}`"
        )
    if wish.format == "onnx":
        check_convertible(config)
    place = named_branch(wish.modality, config, workdir)
    variables, description = read_weights(workdir, config, pretrained=pretrained)
    facts = network_facts(config, workdir, description)
    if wish.format == "hub":
        kind = {"half": wish.half, "license_name": wish.license}
        names = write_hub_folder(wish.out, workdir, config, facts, variables, **kind)
        yield f"{wish.out}: {', '.join(names)} of {workdir}, {description}; README.md is the model card"
        if wish.push_to is not None:
            yield push(wish.out, names, wish.push_to)
        return
    if wish.format == "stablehlo":
        content = stablehlo(config, variables)
        told = facts | program_facts(config) | {"platforms": list(PLATFORMS)}
        about = json.dumps(told, indent=2) + "\n"
        _write(beside := wish.out.with_name(wish.out.name + ".json"), about.encode())
        yield f"{beside}: what the images must be, and where the weights come from"
        what = f"the network of {workdir}"
    elif wish.format == "onnx":
        content = onnx_program(config, variables, facts | program_facts(config))
        what = f"the network of {workdir}"
    else:
        content = written(facts, variables, place=place, half=wish.half)
        branch = "all branches" if place is None else f"branch {config.model.modalities[place]}"
        what = f"{branch} of {workdir}"
    _write(wish.out, content)
    yield f"{wish.out}: {what}, {description}, {len(content):,} bytes"


def _write(path: Path, content: bytes) -> None:
    with disk.writing(path):
        disk.replace_file(path, content)
