"""A file of weights → its arrays by name. What a file is, its content says, not its suffix."""

import zipfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from man_jax.networks.pretrained.errors import WeightsError
from man_jax.networks.pretrained.torch_file import read_torch_legacy, read_torch_zip

Arrays = dict[str, np.ndarray]

AGAIN = "copy or download it again"


def read_arrays(path: Path) -> Arrays:
    """Every array of a .safetensors, .pth, .pt, .bin or .npz file, by its name.

    No pickled code is run, and PyTorch is not needed.

    Raises:
        WeightsError: there is no such file, it is none of these, or it is damaged.
    """
    if not path.is_file():
        found = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise WeightsError(f"{path} {found}; name a .safetensors, .pth, .pt, .bin or .npz file")
    with path.open("rb") as stream:
        start = stream.read(512)
    _refuse_what_is_no_checkpoint(path, start)
    try:
        arrays = _read(path, start)
    except WeightsError:
        raise
    except Exception as error:  # what a damaged file brings forth is anybody's guess
        raise WeightsError(f"{path} is damaged ({error}); {AGAIN}") from None
    if not arrays:
        raise WeightsError(f"{path} holds no array; save the state_dict of a network")
    return arrays


def _refuse_what_is_no_checkpoint(path: Path, start: bytes) -> None:
    size = path.stat().st_size
    if size == 0:
        raise WeightsError(f"{path} is empty; {AGAIN}")
    if start.startswith(b"version https://git-lfs"):
        raise WeightsError(
            f"{path} is a git-lfs pointer of {size} bytes, not the weights; run `git lfs pull`"
        )
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise WeightsError(f"{path} is a web page, not weights; download the file itself, not its page")


def _read(path: Path, start: bytes) -> Arrays:
    if start.startswith(b"PK"):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any(name.endswith("data.pkl") for name in names):
            return read_torch_zip(path)
        if names and all(name.endswith(".npy") for name in names):
            with np.load(path, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        raise WeightsError(f"{path} is a zip archive of {names[:3]}, not weights; name the file inside it")
    if start[8:9] == b"{":
        return load_file(path)
    if start[:1] == b"\x80":
        return read_torch_legacy(path)
    raise WeightsError(
        f"{path} begins with {start[:16]!r}, which is neither safetensors nor a file of torch.save or numpy.savez; "
        f"name a .safetensors, .pth, .pt, .bin or .npz file"
    )
