"""Which version is at work, and which of two is older."""

import re
from importlib import metadata

import jax

UNKNOWN = "unknown"


def versions() -> dict[str, str]:
    """Of this project and of JAX, as a work directory keeps them; "unknown" where the project is not installed."""
    try:
        ours = metadata.version("man_jax")
    except metadata.PackageNotFoundError:
        ours = UNKNOWN
    return {"man_jax": ours, "jax": jax.__version__}


def numbers(version: str) -> tuple[int, ...]:
    """Of a version, by which versions are in order."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def is_older(one: str | None, other: str) -> bool:
    """Whether `one` came before `other`; None is what ran before versions were kept, and "unknown" is never older."""
    if one is None:
        return True
    return one != UNKNOWN and numbers(one) < numbers(other)
