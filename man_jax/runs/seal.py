"""Write a digest of every file of a checkpoint beside it, because Orbax reads flipped bytes without an error."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from man_jax.runs.metrics import replace_file

SEAL = "seal.json"


def write_seal(folder: Path, about: Mapping[str, Any]) -> None:
    """Write the size and the sha256 of each file in `folder`, and `about`, which describes the arrays in them."""
    files = {name: [path.stat().st_size, _digest(path)] for name, path in _files(folder).items()}
    replace_file(folder / SEAL, json.dumps({"about": dict(about), "files": files}, indent=1) + "\n")


def seal_fault(folder: Path) -> str | None:
    """Say which file is not as the seal says; None if all are, or if there is no seal (older versions wrote none)."""
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
    """Tell whether a folder has a seal, by which damage can be found."""
    return (folder / SEAL).exists()


def read_seal(folder: Path) -> dict[str, Any]:
    """Read {about, files} as `write_seal` wrote them; both are empty without a seal. ValueError if it is damaged."""
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
    """Compute one digest of all files in `folder`; it does not depend on where the folder is."""
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
