"""Find an experiment by its name, in the repository and in a wheel: --config demo is short for configs/demo.py."""

import os
from collections.abc import Sequence
from pathlib import Path

from man_jax.configs import default

FOLDER = Path(default.__file__).parent
NO_EXPERIMENTS = {"__init__", "default", "tables", "variants"}


def experiment_names() -> list[str]:
    """List the names of the experiments that the package has."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in NO_EXPERIMENTS)


def path_of(experiment: str) -> str:
    """Give the path of an experiment that is named, e.g. of demo or demo:plus; a path is returned as it is."""
    name, colon, variant = experiment.partition(":")
    return f"{FOLDER / f'{name}.py'}{colon}{variant}" if name in experiment_names() else experiment


def with_paths(argv: Sequence[str]) -> list[str]:
    """Write each --config NAME of a command line as --config PATH, which ml_collections asks for."""
    words = list(argv)
    for place, word in enumerate(words):
        if word == "--":
            break
        name, equals, value = word.partition("=")
        if name not in ("--config", "-config"):
            continue
        if equals:
            words[place] = f"{name}={path_of(value)}"
        elif place + 1 < len(words):
            words[place + 1] = path_of(words[place + 1])
    return words


def shown(name: str) -> str:
    """Give an experiment as it can be typed in the current folder: its path below that, or its name."""
    path = FOLDER / f"{name}.py"
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else name


def all_shown() -> str:
    """List the experiments of the package for an error, as they can be typed."""
    return f"one of {', '.join(map(shown, experiment_names()))}"
