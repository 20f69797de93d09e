"""Find the versions that are at work, and tell which of two is older."""

import re
import subprocess
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import jax

UNKNOWN = "unknown"
ROOT = Path(__file__).parents[2]
CHANGED = " with changes"


def versions() -> dict[str, str]:
    """Give the versions of this project and of JAX; "unknown" for the project if it is not installed."""
    try:
        ours = metadata.version("man_jax")
    except metadata.PackageNotFoundError:
        ours = UNKNOWN
    return {"man_jax": ours, "jax": jax.__version__}


@lru_cache
def commit(root: Path = ROOT) -> str:
    """Give the commit of the code, with " with changes" if a file differs from it; "unknown" if it is no checkout."""
    # An installed package may lie in a folder of somebody else's repository.
    if not (root / ".git").exists():
        return UNKNOWN
    command = [
        "git",
        "-C",
        str(root),
        "describe",
        "--always",
        "--exclude=*",
        "--abbrev=40",
        f"--dirty={CHANGED}",
    ]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN
    return found.stdout.strip()


def numbers(version: str) -> tuple[int, ...]:
    """Take the numbers of a version, by which versions are compared."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def is_older(one: str | None, other: str) -> bool:
    """Tell whether `one` came before `other`. None, from before versions were kept, is older; "unknown" never is."""
    if one is None:
        return True
    return one != UNKNOWN and numbers(one) < numbers(other)
