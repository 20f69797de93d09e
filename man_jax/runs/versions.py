"""Find the versions that are at work, and tell which of two is older."""

import re
from importlib import metadata

import jax

UNKNOWN = "unknown"


def versions() -> dict[str, str]:
    """Give the versions of this project and of JAX; "unknown" for the project if it is not installed."""
    try:
        ours = metadata.version("man_jax")
    except metadata.PackageNotFoundError:
        ours = UNKNOWN
    return {"man_jax": ours, "jax": jax.__version__}


def numbers(version: str) -> tuple[int, ...]:
    """Take the numbers of a version, by which versions are compared."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def is_older(one: str | None, other: str) -> bool:
    """Tell whether `one` came before `other`. None, from before versions were kept, is older; "unknown" never is."""
    if one is None:
        return True
    return one != UNKNOWN and numbers(one) < numbers(other)
