"""The methods. Each file here is one method, and a new file adds one; docs/ADD_A_METHOD.md explains how.

A file NAME.py has, in this order:

    KEYS                                         its keys, `config.NAME.KEY`
    networks(config)                             where the networks that extract features are in the state
    capacity(config, num_triples)                how many clusters the target may have
    start(frame, state)                          what the method adds to the state when adaptation begins
    label(frame, state, features, cameras, epoch) pseudo-labels of the target, on the host
    begin_epoch(frame, state, features, labels)  memories and heads of an epoch
    loss(frame, params, state, source, target, key)   the loss of a step, and what it changes in the state
    after_update(frame, state)                   what follows the optimiser's update
    weights(config)                              the factors of the terms in the total, for the pictures

A file may also have NEEDS, the names in `man_jax.keys.NEEDS` of what it needs; a run without it is refused at once.
There is no base class and no list: `config.method` is the file's name.
"""

import importlib
from functools import cache
from pathlib import Path
from types import ModuleType

from man_jax.keys import Key, read_keys, read_needs

FOLDER = Path(__file__).parent


@cache
def names() -> tuple[str, ...]:
    """List the names of all methods."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__"))


@cache
def keys_of(name: str) -> dict[str, Key]:
    """Read the keys of a method by name, without importing its file."""
    return read_keys(FOLDER / f"{name}.py")


@cache
def needs_of(name: str) -> tuple[str, ...]:
    """Read what a method needs, names in `man_jax.keys.NEEDS`, without importing its file."""
    return read_needs(FOLDER / f"{name}.py")


def find(name: str) -> ModuleType:
    """Import the method `name`, one of `names()`."""
    return importlib.import_module(f"{__name__}.{name}")
