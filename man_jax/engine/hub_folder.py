"""Write a run as a folder in the layout of a Hugging Face hub repository, and upload it."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_pipelines.session import disk
from man_jax.config import Config, ConfigError, flat
from man_jax.configs import default
from man_jax.engine.branch_file import written
from man_jax.engine.card_facts import CardFacts, card_facts
from man_jax.engine.model_card import model_card
from man_jax.runs.past_config import CONFIG
from man_jax.runs.published import CARD, MODEL_TYPE, WEIGHTS

CURVES, RANKING = "curves.png", "ranking.png"
UNTOLD = ("data.source.root", "data.target.root", "data.prepared", *default.WEIGHTS)
"""Keys whose values are paths of the user's machine, which nobody else needs to know."""


def check_hub_folder(out: Path) -> None:
    """Check that a folder can be written at `out`, so that nothing that is there is lost.

    Raises:
        ConfigError: it is a file, or a folder that is not empty.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; name a new folder")
    if out.is_dir() and any(out.iterdir()):
        raise ConfigError(f"--out {out} is not empty; name a new folder, or empty this one")


def check_repository(repository: str) -> None:
    """Check the name of a repository, and that an upload can begin.

    Raises:
        ConfigError: huggingface_hub is not installed, the name is of another form, or nobody has logged in.
    """
    try:
        from huggingface_hub import get_token
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils import validate_repo_id
    except ImportError:
        raise ConfigError(
            f"--push_to {repository} needs the package huggingface_hub; pip install huggingface_hub"
        ) from None
    try:
        validate_repo_id(repository)
        owned = repository.count("/") == 1
    except HFValidationError:
        owned = False
    if not owned:
        raise ConfigError(f"--push_to {repository}: write it as OWNER/NAME, of letters, digits, -, _ and .")
    if get_token() is None:
        raise ConfigError(
            f"--push_to {repository}: nobody has logged in here; run `hf auth login`, or set HF_TOKEN"
        )


def write_hub_folder(
    out: Path,
    workdir: Path,
    config: Config,
    facts: dict[str, Any],
    variables: Any,
    *,
    half: bool,
    license_name: str,
) -> list[str]:
    """Write weights, configuration, card and pictures into `out`; give the names of the files.

    Raises DiskError if the disk refuses, and WorkdirError if a file of the run is damaged.
    """
    told = card_facts(workdir, config)
    pictures = [name for name in shown(told) if (workdir / name).is_file()]
    card = model_card(facts, config, told, license_name=license_name, pictures=pictures, name=out.name)
    about = facts | {"model_type": MODEL_TYPE, "config": public_config(config)}
    files = {
        WEIGHTS: written(facts, variables, place=None, half=half),
        CONFIG: (json.dumps(about, indent=2) + "\n").encode(),
        CARD: card.encode(),
    }
    with disk.writing(out):
        for name, content in files.items():
            disk.replace_file(out / name, content)
        for name in pictures:
            shutil.copyfile(workdir / name, out / name)
    return [*files, *pictures]


def shown(told: CardFacts) -> tuple[str, ...]:
    """Choose the pictures of a run that may be published: one with images of a data set only if all were drawn."""
    drawn = all(domain.drawn == "drawn" for domain in told.domains)
    return (CURVES, RANKING) if drawn else (CURVES,)


def public_config(config: Config) -> dict[str, Any]:
    """Give the configuration as JSON has it, with the default in place of every path of the user's machine."""
    public, usual = config.copy_and_resolve_references(), flat(default.get_config())
    public.update_from_flattened_dict({key: usual[key] for key in UNTOLD})
    return json.loads(json.dumps(public.to_dict()))


def push(folder: Path, names: Sequence[str], repository: str, *, api: Any = None) -> str:
    """Push the files of a folder to the hub, into a private repository if it is new; say where they are.

    `api`: a `huggingface_hub.HfApi`; that of the user who has logged in, if not given.

    Raises:
        ConfigError: the hub or the network refuses; the folder stays as it is.
    """
    from huggingface_hub import HfApi

    api = HfApi() if api is None else api
    try:
        place = api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            allow_patterns=list(names),
            commit_message="Add a run",
        )
    except Exception as error:  # the hub's, the network's
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise ConfigError(
            f"--push_to {repository}: {lines[0]}; {folder} is whole, and `hf upload {repository} {folder}` tries again"
        ) from None
    return f"{place}: {', '.join(names)} uploaded; the owner can make a private repository public on its page"
