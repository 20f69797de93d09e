"""A file that is no checkpoint, or a damaged or hostile one, is refused and says what it is."""

import collections
import fractions
import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from man_jax.networks.pretrained import files
from man_jax.networks.pretrained.errors import WeightsError
from man_jax.networks.pretrained.files import read_arrays

both_formats = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before_1_6"])


def test_an_archive_that_would_fill_the_memory_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "SMALL", 2**20)
    np.savez_compressed(tmp_path / "w.npz", w=np.zeros(2**20))
    with pytest.raises(WeightsError, match=r"bytes and would unpack to 8\d+, which no trained weights do"):
        read_arrays(tmp_path / "w.npz")


class _Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@both_formats
def test_code_in_a_pickle_is_not_run(tmp_path, zipped):
    trap = tmp_path / "sprung"
    torch.save(
        {"w": torch.ones(1), "x": _Malicious(trap)}, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped
    )
    with pytest.raises(WeightsError, match=r"asks for posix\.mkdir.*not run here; save the state_dict alone"):
        read_arrays(tmp_path / "w.pth")
    assert not trap.exists()


def test_a_whole_pickled_network_is_refused_by_the_name_of_its_class(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"asks for torch\.nn\.modules\.linear\.Linear"):
        read_arrays(tmp_path / "w.pth")


def _zip_of(path, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_pkl", ".pkl"), content)


def _torch_bytes(tmp_path, *, zipped: bool = True) -> bytes:
    torch.save({"w": torch.arange(1000.0)}, tmp_path / "good", _use_new_zipfile_serialization=zipped)
    return (tmp_path / "good").read_bytes()


def _corrupted(data: bytes) -> bytes:
    middle = data.index(np.arange(1000, dtype="f4").tobytes()) + 2000
    return data[:middle] + b"XXXX" + data[middle + 4 :]


def _storage_missing(tmp_path) -> bytes:
    _torch_bytes(tmp_path)
    with zipfile.ZipFile(tmp_path / "good") as good, zipfile.ZipFile(tmp_path / "less", "w") as less:
        for name in good.namelist():
            if not name.endswith("data/0"):
                less.writestr(name, good.read(name))
    return (tmp_path / "less").read_bytes()


def _storage_short(tmp_path) -> bytes:
    _torch_bytes(tmp_path)
    with zipfile.ZipFile(tmp_path / "good") as good, zipfile.ZipFile(tmp_path / "less", "w") as less:
        for name in good.namelist():
            content = good.read(name)
            less.writestr(name, content[:100] if name.endswith("data/0") else content)
    return (tmp_path / "less").read_bytes()


def _safetensors_bytes(tmp_path) -> bytes:
    save_file({"w": torch.arange(1000.0)}, tmp_path / "good")
    return (tmp_path / "good").read_bytes()


def _npz_of_objects(tmp_path) -> bytes:
    np.savez(tmp_path / "good.npz", w=np.array([{}], dtype=object))
    return (tmp_path / "good.npz").read_bytes()


def _plain_zip(tmp_path) -> bytes:
    _zip_of(tmp_path / "z", readme=b"hello")
    return (tmp_path / "z").read_bytes()


def _garbled_pickle(tmp_path) -> bytes:
    _zip_of(tmp_path / "z", a__data_pkl=b"\x80\x02garbage.")
    return (tmp_path / "z").read_bytes()


def _tar(_) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("tensors"))
    return stream.getvalue()


def _safetensors_of(entry: dict, body: bytes) -> bytes:
    header = json.dumps({"w": entry}).encode()
    return struct.pack("<Q", len(header)) + header + body


def _npy_of(shape: str) -> bytes:
    """An .npz whose one array has 16 bytes, whatever its header says."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("w.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(16))
    return stream.getvalue()


class _View:
    """Pickled as torch.save pickles a tensor, but with an offset, sizes and strides of our choice."""

    def __init__(self, offset, sizes, strides):
        self.place = (offset, sizes, strides)

    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, (_Storage(), *self.place, False, collections.OrderedDict())


class _Storage:
    """The one storage of 400 bytes."""


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        return ("storage", torch.FloatStorage, "0", "cpu", 100) if isinstance(obj, _Storage) else None


def _view(offset, sizes, strides) -> bytes:
    content, stream = io.BytesIO(), io.BytesIO()
    _Pickler(content, 2).dump({"w": _View(offset, sizes, strides)})
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a/data.pkl", content.getvalue())
        archive.writestr("a/data/0", bytes(400))
    return stream.getvalue()


def _of_type(tmp_path, tensor: torch.Tensor) -> bytes:
    torch.save({"w": tensor}, tmp_path / "good")
    return (tmp_path / "good").read_bytes()


def _float8(tmp_path) -> bytes:
    save_file({"w": torch.ones(4).to(torch.float8_e4m3fn)}, tmp_path / "good")
    return (tmp_path / "good").read_bytes()


def _no_tensor(tmp_path) -> bytes:
    torch.save({"epoch": 3}, tmp_path / "good")
    return (tmp_path / "good").read_bytes()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 102530333\n"
MALFORMED = {
    "empty": (lambda _: b"", r"is empty; copy or download"),
    "git_lfs_pointer": (lambda _: LFS, r"git-lfs pointer of \d+ bytes.*git lfs pull"),
    "web_page": (lambda _: b"\n<!DOCTYPE html><html><body>404", r"is a web page.*download the file itself"),
    "web_page_old": (lambda _: b"<HTML><HEAD>", r"is a web page"),
    "xml_answer": (lambda _: b"<?xml version='1.0'?><Error><Code>AccessDenied", r"is a web page"),
    "text": (lambda _: b"Not Found", r"begins with b'Not Found', which is neither"),
    "picture": (lambda _: b"\x89PNG\r\n\x1a\n" + bytes(100), r"begins with b'\\x89PNG"),
    "hdf5": (lambda _: b"\x89HDF\r\n\x1a\n" + bytes(100), r"begins with b'\\x89HDF"),
    "tar": (_tar, r"is a tar archive; unpack it and name the file of weights inside"),
    "gzip": (lambda tmp: gzip.compress(_torch_bytes(tmp)), r"is compressed by gzip; unpack it"),
    "configuration": (lambda _: b'{"model_type": "vit"}', r"is JSON, but no index of a network's shards"),
    "zip_of_something_else": (_plain_zip, r"zip archive of \['readme'\], not weights"),
    "truncated_zip": (lambda tmp: _torch_bytes(tmp)[:3000], r"is damaged \(File is not a zip file\)"),
    "corrupted_zip": (lambda tmp: _corrupted(_torch_bytes(tmp)), r"is damaged \(Bad CRC-32"),
    "storage_missing": (_storage_missing, r"storage 0 is missing"),
    "storage_short": (_storage_short, r"w \[1000\] reaches beyond the 100 bytes of its storage; .*truncated"),
    "garbled_pickle": (_garbled_pickle, r"its pickle cannot be read"),
    "truncated_before_1_6": (
        lambda tmp: _torch_bytes(tmp, zipped=False)[:2000],
        r"w \[1000\] reaches beyond the .* truncated",
    ),
    "truncated_in_pickle": (lambda tmp: _torch_bytes(tmp, zipped=False)[:200], r"its pickle cannot be read"),
    "plain_pickle": (lambda _: pickle.dumps({"w": [1.0]}), r"is a pickle, but none that torch\.save wrote"),
    "pickle_of_an_object": (
        lambda _: pickle.dumps(fractions.Fraction(1, 2)),
        r"asks for fractions\.Fraction",
    ),
    "pickle_of_numpy": (lambda _: pickle.dumps({"w": np.ones(3)}), r"asks for numpy"),
    "truncated_safetensors": (lambda tmp: _safetensors_bytes(tmp)[:-8], r"is damaged"),
    "safetensors_header_cut": (lambda tmp: _safetensors_bytes(tmp)[:20], r"is damaged"),
    "safetensors_header_wrong": (lambda _: struct.pack("<Q", 9) + b"{not json", r"is damaged"),
    "safetensors_header_huge": (
        lambda _: struct.pack("<Q", 2**62) + b'{"w":',
        r"is damaged .*header too large",
    ),
    "safetensors_offset_beyond": (
        lambda _: _safetensors_of({"dtype": "F32", "shape": [4], "data_offsets": [0, 1600]}, bytes(16)),
        r"is damaged .*offset",
    ),
    "safetensors_shape_lies": (
        lambda _: _safetensors_of({"dtype": "F32", "shape": [400], "data_offsets": [0, 16]}, bytes(16)),
        r"is damaged .*shape",
    ),
    "safetensors_float8": (
        _float8,
        r"w is of type F8_E4M3, which is not read here; save the weights as float32",
    ),
    "npz_shape_lies": (lambda _: _npy_of("(400,)"), r"is damaged"),
    "npz_shape_beyond_memory": (lambda _: _npy_of(f"({10**15},)"), r"is damaged \(Unable to allocate"),
    "view_negative_stride": (
        lambda _: _view(99, (100,), (-1,)),
        r"w is no view of a storage \(offset 99, sizes \[100\]",
    ),
    "view_negative_offset": (lambda _: _view(-1, (10,), (1,)), r"w is no view of a storage"),
    "view_of_two_ranks": (lambda _: _view(0, (10,), (1, 1)), r"w is no view of a storage"),
    "view_beyond_its_storage": (lambda _: _view(50, (100,), (1,)), r"w \[100\] reaches beyond the 400 bytes"),
    "view_repeated": (
        lambda _: _view(0, (2**26,), (0,)),
        r"would repeat the 400 bytes .* to 67108864 numbers",
    ),
    "complex": (
        lambda tmp: _of_type(tmp, torch.ones(2, dtype=torch.complex64)),
        r"holds complex tensors .*as float32",
    ),
    "sparse": (lambda tmp: _of_type(tmp, torch.eye(2).to_sparse()), r"holds sparse tensors"),
    "float8": (
        lambda tmp: _of_type(tmp, torch.ones(2).to(torch.float8_e5m2)),
        r"holds float8 or unsigned tensors",
    ),
    "npz_of_objects": (_npz_of_objects, r"is damaged \(Object arrays cannot be loaded"),
    "no_tensor": (_no_tensor, r"holds no array; save the state_dict"),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_file_that_is_no_checkpoint_says_what_it_is(tmp_path, kind):
    make, message = MALFORMED[kind]
    path = tmp_path / "weights.pth"
    path.write_bytes(make(tmp_path))
    with pytest.raises(WeightsError, match=message) as refusal:
        read_arrays(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "message"), [("none.pth", "does not exist"), ("", "is a folder, not a file")]
)
def test_a_path_that_is_no_file_is_refused(tmp_path, name, message):
    with pytest.raises(WeightsError, match=message):
        read_arrays(tmp_path / name)
