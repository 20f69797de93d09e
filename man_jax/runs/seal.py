"""A digest of every file of a checkpoint, written beside it: Orbax reads flipped bytes without a word."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from man_jax.runs.metrics import replace_file

SEAL = "seal.json"


def write_seal(folder: Path, about: Mapping[str, Any]) -> None:
    """Write down size and sha256 of each file below `folder`, and what the arrays in them are `about`."""
    files = {name: [path.stat().st_size, _digest(path)] for name, path in _files(folder).items()}
    replace_file(folder / SEAL, json.dumps({"about": dict(about), "files": files}, indent=1) + "\n")


def seal_fault(folder: Path) -> str | None:
    """What of a folder is not as it was sealed; None if all is, or if it has no seal (older versions wrote none)."""
    if not (folder / SEAL).exists():
        return None
    try:
        sealed = read_seal(folder)["files"].items()
    except ValueError as error:
        return str(error)
    found = _files(folder)
    for name, (size, digest) in sealed:
        if name not in found:
            return f"{name} is missing"
        try:
            if (there := found[name].stat().st_size) != size:
                return f"{name} has {there:,} bytes and had {size:,}"
            if _digest(found[name]) != digest:
                return f"{name} holds other bytes than those that were written"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
    return None


def is_sealed(folder: Path) -> bool:
    """Whether there is a seal that tells damage."""
    return (folder / SEAL).exists()


def read_seal(folder: Path) -> dict[str, Any]:
    """{about, files} as `write_seal` left them, empty without a seal; ValueError if it cannot be read."""
    if not (folder / SEAL).exists():
        return {"about": {}, "files": {}}
    try:
        found = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        return {
            "about": {part: dict(known) for part, known in found["about"].items()},
            "files": {name: (int(size), str(digest)) for name, (size, digest) in found["files"].items()},
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{SEAL} is damaged") from None


def content_digest(folder: Path) -> str:
    """One digest of all files below `folder`, wherever that lies."""
    digest = hashlib.sha256()
    for name, path in _files(folder).items():
        digest.update(f"{name} {_digest(path)}\n".encode())
    return digest.hexdigest()


def _files(folder: Path) -> dict[str, Path]:
    found = {
        path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()
    }
    return {name: path for name, path in found.items() if not name.startswith(SEAL)}


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
