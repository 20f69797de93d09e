"""Read the arrays of a file of weights by name. The content, and not the suffix, decides what the file is."""

import json
import zipfile
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

from man_jax.networks.pretrained.errors import WeightsError
from man_jax.networks.pretrained.torch_file import read_torch_legacy, read_torch_zip

Arrays = dict[str, np.ndarray]

AGAIN = "copy or download it again"

PACKED = ((b"\x1f\x8b", 0, "compressed by gzip"), (b"ustar", 257, "a tar archive"))
"""The bytes by which a packed file is recognised, their place, and its description."""

TYPES = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"}
"""Of safetensors, those that NumPy has too."""

LARGEST_RATIO, SMALL = 20, 2**30
"""An archive is refused unread if it unpacks to more than LARGEST_RATIO times its size and more than SMALL bytes."""


def read_arrays(path: Path) -> Arrays:
    """Read every array of a .safetensors, .pth, .pt, .bin or .npz file, or of the shards of an index, by its name.

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
    except Exception as error:  # a damaged file may cause any error
        raise WeightsError(f"{path} is damaged ({error}); {AGAIN}") from None
    if not arrays:
        raise WeightsError(f"{path} holds no array; save the state_dict of a network")
    return arrays


def read_metadata(path: Path) -> dict[str, str]:
    """Read what a .safetensors file, which `read_arrays` could read, says of itself; {} of any other file."""
    with path.open("rb") as stream:
        start = stream.read(9)
    if start[8:9] != b"{":
        return {}
    with safe_open(path, framework="np") as tensors:
        return tensors.metadata() or {}


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
    for magic, place, what in PACKED:
        if start[place:].startswith(magic):
            raise WeightsError(f"{path} is {what}; unpack it and name the file of weights inside")


def _read(path: Path, start: bytes) -> Arrays:
    if start.startswith(b"PK"):
        return _read_zip(path)
    if start[8:9] == b"{":
        return _read_safetensors(path)
    if start[:1] == b"\x80":
        return read_torch_legacy(path)
    if start.lstrip().startswith(b"{"):
        return _read_shards(path)
    raise WeightsError(
        f"{path} begins with {start[:16]!r}, which is neither safetensors nor a file of torch.save or numpy.savez; "
        f"name a .safetensors, .pth, .pt, .bin or .npz file"
    )


def _read_zip(path: Path) -> Arrays:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > max(LARGEST_RATIO * path.stat().st_size, SMALL):
        raise WeightsError(
            f"{path} has {path.stat().st_size} bytes and would unpack to {unpacked}, which no trained weights do; "
            f"download the file again"
        )
    if any(name.endswith("data.pkl") for name in names):
        return read_torch_zip(path)
    if names and all(name.endswith(".npy") for name in names):
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    raise WeightsError(f"{path} is a zip archive of {names[:3]}, not weights; name the file inside it")


def _read_safetensors(path: Path) -> Arrays:
    with safe_open(path, framework="np") as tensors:
        names = tensors.keys()  # which is all of a dictionary that it has
        for name in names:
            if (kind := tensors.get_slice(name).get_dtype()) not in TYPES:
                raise WeightsError(
                    f"{path}: {name} is of type {kind}, which is not read here; save the weights as float32"
                )
    return load_file(path)


def _read_shards(path: Path) -> Arrays:
    """Read the files that an index of Hugging Face (`model.safetensors.index.json`) names; they are beside it."""
    weight_map = json.loads(path.read_bytes()).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise WeightsError(
            f"{path} is JSON, but no index of a network's shards (it has no weight_map); name the file of weights"
        )
    arrays = {}
    for name in sorted(set(map(str, weight_map.values()))):
        if Path(name).name != name or name == path.name:
            raise WeightsError(
                f"{path} names the shard {name!r}, which is no other file of its folder; {AGAIN}"
            )
        if not (shard := path.with_name(name)).is_file():
            raise WeightsError(f"{path} names the shard {name}, which is not beside it; put all shards there")
        arrays |= read_arrays(shard)
    if missing := sorted(weight_map.keys() - arrays.keys()):
        raise WeightsError(f"{path} lists {missing[0]}, which is in none of its shards; {AGAIN}")
    return arrays
