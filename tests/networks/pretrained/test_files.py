"""A file of any of the formats gives its arrays; what is none of them says what it is."""

import argparse
import collections
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from man_jax.networks.pretrained.errors import WeightsError
from man_jax.networks.pretrained.files import read_arrays

both_formats = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before_1_6"])


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    """Of several types and ranks; one a transposed view, one with an offset into a shared storage."""
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(4, 6, generator=generator)
    return {
        "conv.weight": torch.randn(3, 2, 5, 5, generator=generator),
        "double": torch.randn(3, generator=generator, dtype=torch.float64),
        "half": base.half(),
        "brain": base.bfloat16(),
        "transposed": base.T,
        "offset": base[2:, 1:3],
        "expanded": torch.tensor([2.5]).expand(3),
        "count": torch.tensor(7),
        "flags": torch.tensor([True, False]),
        "empty": torch.zeros(0, 3),
    }


def assert_holds(arrays: dict[str, np.ndarray], tensors: dict[str, torch.Tensor]) -> None:
    assert arrays.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert str(arrays[name].dtype) == str(tensor.dtype).removeprefix("torch."), name
        np.testing.assert_array_equal(arrays[name].astype("f8"), tensor.double().numpy(), err_msg=name)
        assert arrays[name].shape == tuple(tensor.shape)


@both_formats
def test_a_file_of_torch_save_gives_what_was_saved(tmp_path, tensors, zipped):
    torch.save(tensors, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    assert_holds(read_arrays(tmp_path / "w.pth"), tensors)


@both_formats
def test_a_network_s_state_dict_gives_its_tensors(tmp_path, zipped):
    state = torch.nn.BatchNorm2d(3).state_dict()
    torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    assert_holds(read_arrays(tmp_path / "w.pth"), state)


def test_a_safetensors_file_gives_what_was_saved(tmp_path, tensors):
    tensors = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    save_file(tensors, tmp_path / "w.safetensors")
    assert_holds(read_arrays(tmp_path / "w.safetensors"), tensors)


def test_an_npz_file_gives_what_was_saved(tmp_path):
    saved = {"conv.weight": np.arange(6.0).reshape(2, 3), "bias": np.ones(3, np.float32)}
    np.savez(tmp_path / "w.npz", **saved)
    arrays = read_arrays(tmp_path / "w.npz")
    assert arrays.keys() == saved.keys()
    np.testing.assert_array_equal(arrays["conv.weight"], saved["conv.weight"])


def test_the_suffix_does_not_matter(tmp_path, tensors):
    torch.save(tensors, tmp_path / "w.safetensors")
    assert_holds(read_arrays(tmp_path / "w.safetensors"), tensors)


def test_a_storage_of_many_views_is_read_once(tmp_path, monkeypatch):
    flat = torch.arange(12.0)
    torch.save({f"w{i}": part for i, part in enumerate(flat.split(3))}, tmp_path / "w.pth")
    read, original = [], zipfile.ZipFile.read

    def counted(archive, name, *rest):
        read.append(name)
        return original(archive, name, *rest)

    monkeypatch.setattr(zipfile.ZipFile, "read", counted)
    np.testing.assert_array_equal(np.concatenate([*read_arrays(tmp_path / "w.pth").values()]), flat.numpy())
    assert [name for name in read if "/data/" in name] == ["w/data/0"]


def test_nested_dictionaries_become_dotted_names(tmp_path):
    parameter = torch.nn.Parameter(torch.ones(2))
    nested = {"epoch": 3, "args": argparse.Namespace(lr=0.1), "state_dict": {"module.fc.bias": parameter}}
    torch.save(nested, tmp_path / "w.pth")
    assert list(read_arrays(tmp_path / "w.pth")) == ["state_dict.module.fc.bias"]


def test_a_file_of_a_big_endian_machine_is_turned_round(tmp_path):
    torch.save({"w": torch.arange(5.0)}, tmp_path / "little.pth")
    with (
        zipfile.ZipFile(tmp_path / "little.pth") as little,
        zipfile.ZipFile(tmp_path / "big.pth", "w") as big,
    ):
        for name in little.namelist():
            content = little.read(name)
            if name.endswith("data/0"):
                content = np.frombuffer(content, "<f4").astype(">f4").tobytes()
            big.writestr(name, b"big" if name.endswith("byteorder") else content)
    np.testing.assert_array_equal(read_arrays(tmp_path / "big.pth")["w"], np.arange(5.0, dtype="f4"))


class _Scripted(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(2, 3).half()
        self.token = torch.nn.Parameter(torch.arange(4.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_scripted_module_gives_its_state(tmp_path):
    network = _Scripted()
    torch.jit.save(torch.jit.script(network), tmp_path / "w.pt")
    assert_holds(read_arrays(tmp_path / "w.pt"), network.state_dict())


# --- what is refused


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
    "tar": (lambda _: b"weights/".ljust(512, b"\0"), r"begins with b'weights/"),
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
        lambda _: pickle.dumps(collections.Counter("ab")),
        r"asks for collections\.Counter",
    ),
    "pickle_of_numpy": (lambda _: pickle.dumps({"w": np.ones(3)}), r"asks for numpy"),
    "truncated_safetensors": (lambda tmp: _safetensors_bytes(tmp)[:-8], r"is damaged"),
    "safetensors_header_cut": (lambda tmp: _safetensors_bytes(tmp)[:20], r"is damaged"),
    "safetensors_header_wrong": (lambda _: struct.pack("<Q", 9) + b"{not json", r"is damaged"),
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
