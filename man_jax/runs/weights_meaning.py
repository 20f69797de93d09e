"""Describe what weights were learnt for (network, images, run), and compare that with a configuration.

Shapes alone tell too little: networks with other modalities, strides or numbers of attention heads have arrays of the
same shapes. And folders of several runs may have been copied together.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import logging

from man_jax.config import Config, ConfigError
from man_jax.configs import default
from man_jax.networks.backbone_traits import AUTO_ACTIVATION, TRAITS
from man_jax.runs.past_config import DATA, is_of_other_method, plain_values, read_config
from man_jax.runs.seal import read_seal
from man_jax.runs.used_data import UsedData, read_data, same_identities
from man_jax.runs.versions import versions

OF_SOME_BACKBONES = {key for traits in TRAITS.values() for key in traits.keys}
FREE = (*default.PLACES, *default.WEIGHTS, *default.EFFORT)
NOT_MEANT = (*FREE, "model.dtype")


def describe_weights(config: Config, used: UsedData) -> dict[str, Any]:
    """Describe a run's weights, to be kept beside them: versions, keys, and the data they were learnt from."""
    return {"versions": versions(), "keys": meaning(config), "run": _deciding(config), "data": used}


def meaning(config: Config) -> dict[str, Any]:
    """Select the keys that decide which network the weights belong to, and which images it expects.

    `config`: a configuration, or its values by full key. The values come as JSON has them.
    """
    values = plain_values(config)
    traits = TRAITS.get(
        values.get("model.backbone", "resnet")
    )  # which was the only one in the first versions

    def counts(key: str) -> bool:
        if key in NOT_MEANT or key.startswith(("data.source.", "data.target.")):
            return key == "data.source.deep_range"
        if key in OF_SOME_BACKBONES:
            return traits is not None and key in traits.keys
        if key == "data.image_size":
            return traits is not None and traits.has_positions
        return key.startswith(("model.", "data.")) or key in ("augment.mean", "augment.std")

    found = {key: value for key, value in values.items() if counts(key)}
    if found.get("model.vit.activation") == "auto":
        found["model.vit.activation"] = AUTO_ACTIVATION[values["model.backbone"]]
    return found


def check_meaning(key: str, workdir: Path, folder: Path, config: Config) -> None:
    """Check that the weights in `folder` of the run `workdir`, which `config.<key>` names, are for this configuration.

    Raises:
        ConfigError: they are not; the message has the keys that differ, both values and the remedy.
    """
    if not (there := _meaning_of(workdir, folder)):
        logging.warning(
            "config.%s: %s does not say of which network its weights are; only their shapes are checked",
            *(key, workdir),
        )
        return
    here = meaning(config)
    if told := differences(there, here):
        raise ConfigError(
            f"config.{key}: the weights of {workdir} are not for this configuration: {'; '.join(told)}. Set these "
            f"keys to the values there, or take the weights of another run"
        )


def _deciding(config: Config) -> dict[str, Any]:
    """Select the keys that decide what a run learns; keys of methods that it does not use are left out."""
    values = plain_values(config)
    return {
        key: value for key, value in values.items() if key not in FREE and not is_of_other_method(key, values)
    }


def check_weights_of_run(workdir: Path, folder: Path, config: Config) -> None:
    """Check that the description of the weights in `folder` agrees with the configuration and the data of `workdir`.

    Without a description nothing is compared.

    Raises:
        ConfigError: it does not; the message has the keys that differ, or the source.
    """
    there = default.renamed(described(folder, "run") or described(folder))
    here = _deciding(config) | meaning(config)
    if told := differences(there, here):
        raise ConfigError(
            f"{folder} was learnt under another configuration than {workdir / 'config.json'} has: {'; '.join(told)}. "
            f"Restore that file, or the checkpoint that belongs to it"
        )
    learnt_from, used = described(folder, "data"), read_data(workdir)
    if learnt_from and used and (told := same_identities(learnt_from, used)):
        raise ConfigError(
            f"{folder} was learnt from another source than {workdir / DATA} names: {told}. Restore that file, or the "
            f"checkpoint that belongs to it"
        )


def check_source(key: str, workdir: Path, folder: Path, here: UsedData) -> None:
    """Check that the weights in `folder` were learnt from this source, whose identities are the heads' first columns.

    Raises:
        ConfigError: they were not; the message says what differs, and the remedy.
    """
    there = described(folder, "data") or read_data(workdir)
    if there is None:
        logging.warning(
            "config.%s: %s is of a version that kept no fingerprint of its data; whether its source is this one "
            "could not be checked",
            *(key, workdir),
        )
        return
    if told := same_identities(there, here):
        raise ConfigError(
            f"config.{key}: the source of {workdir} is another one: {told}. The columns of its heads are the "
            f"identities of that source; name that data set in config.data.source, or pre-train on this one"
        )


def described(folder: Path, part: str = "keys") -> dict[str, Any]:
    """Read a part of the description beside the weights in `folder` (see `describe_weights`); {} if there is none."""
    try:
        return read_seal(folder)["about"].get(part, {})
    except ValueError:
        return {}


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """List the keys that have different values in the two mappings, a sentence for each."""
    return [
        f"config.{key} is {there[key]!r} there and {here[key]!r} here"
        for key in sorted(there.keys() & here.keys())
        if there[key] != here[key]
    ]


def _meaning_of(workdir: Path, folder: Path) -> dict[str, Any]:
    if found := described(folder):
        return found
    if not (workdir / "config.json").is_file():
        return {}
    return meaning(read_config(workdir).values)
