"""Compare the installed packages with what this package requires, and with its extras."""

import tomllib
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from man_jax.machine_checks import Finding

NAME = "man_jax"
ROOT = Path(__file__).parents[1]
NUMERICS = ("jax", "jaxlib", "flax")
NOT_FOR_USERS = ("dev",)
"""Extras that no run needs."""


def requirements(root: Path = ROOT) -> list[Requirement]:
    """List what the package requires: by the repository's file, or, of a wheel, by its metadata."""
    file = root / "requirements.txt"
    if (root / "pyproject.toml").is_file() and file.is_file():
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
        return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]
    return [each for each in _of_metadata(NAME) if each.marker is None or each.marker.evaluate({"extra": ""})]


def extras(root: Path = ROOT) -> dict[str, list[Requirement]]:
    """List the package's extras and what each requires."""
    file = root / "pyproject.toml"
    if file.is_file():
        known = tomllib.loads(file.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
        found = {name: [Requirement(each) for each in wanted] for name, wanted in known.items()}
    else:
        names = metadata.metadata(NAME).get_all("Provides-Extra") or []
        found = {name: _of_extra(NAME, name) for name in names}
    return {name: wanted for name, wanted in found.items() if name not in NOT_FOR_USERS}


def problem(wanted: Requirement) -> str | None:
    """Say what is wrong with the installed version of a package, e.g. "flax is not installed"; None if it fits."""
    try:
        version = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return f"{wanted.name} is not installed"
    if not wanted.specifier.contains(version, prereleases=True):
        return f"{wanted.name} is {version}, and {wanted.specifier} is needed"
    below = [each for extra in wanted.extras for each in _of_extra(wanted.name, extra)]
    return next(filter(None, map(problem, below)), None)


def check_required(wanted: Sequence[Requirement]) -> list[Finding]:
    """Check JAX and Flax in one line, and every other required package in another."""
    names = {each.name for each in wanted}
    of_jax = [each for each in _of_metadata("jax") if each.name == "jaxlib" and each.marker is None]
    numerics = [each for each in wanted if each.name in NUMERICS]
    numerics += [each for each in of_jax if each.name not in names]
    versions = ", ".join(f"{name} {_version(name)}" for name in NUMERICS)
    others = [each for each in wanted if each.name not in NUMERICS]
    return [
        _finding("JAX", versions, numerics),
        _finding("packages", f"the {len(others)} others that are required", others),
    ]


def check_extras(known: Mapping[str, Sequence[Requirement]]) -> Finding:
    """Tell which extras are installed; one that is not is nothing wrong."""
    there = [name for name, wanted in known.items() if not any(map(problem, wanted))]
    absent = [name for name in known if name not in there]
    found = f"{', '.join(there) or 'none'} installed"
    advice = f"for {', '.join(absent)}: pip install '{NAME}[NAME]'" if absent else ""
    return Finding("extras", True, found, advice)


def _finding(what: str, found: str, wanted: Sequence[Requirement]) -> Finding:
    wrong = {each: told for each in wanted if (told := problem(each))}
    if not wrong:
        return Finding(what, True, f"{found}, within the bounds")
    remedy = "pip install " + " ".join(f"'{each}'" for each in wrong)
    return Finding(what, False, "; ".join(wrong.values()), remedy)


def _of_metadata(name: str) -> list[Requirement]:
    try:
        return [Requirement(each) for each in metadata.requires(name) or []]
    except metadata.PackageNotFoundError:
        return []


def _of_extra(name: str, extra: str) -> list[Requirement]:
    return [
        each
        for each in _of_metadata(name)
        if each.marker is not None
        and each.marker.evaluate({"extra": extra})
        and not each.marker.evaluate({"extra": ""})
    ]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "is not installed"
