"""A file of any of the formats gives its arrays."""

import argparse
import collections
import datetime
import json
import pathlib
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


def test_what_a_trainer_keeps_beside_the_weights_does_no_harm(tmp_path):
    beside = {
        "milestones": collections.Counter([2, 3]),
        "history": collections.defaultdict(dict, {"loss": 1.0}),
        "args": argparse.Namespace(device=torch.device("cpu"), out=pathlib.Path("x"), amp=torch.float16),
        "metric": np.float64(0.5),
        "when": datetime.datetime(2024, 1, 2),
    }
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.note = "an attribute of a parameter"
    torch.save({"model": {"w": parameter}, **beside}, tmp_path / "w.pth")
    assert list(read_arrays(tmp_path / "w.pth")) == ["model.w"]


def test_a_dictionary_in_many_places_is_gone_through_once(tmp_path):
    shared = inner = {"w": torch.ones(2)}
    for _ in range(40):
        inner = {"a": inner, "b": inner}
    shared["itself"] = inner
    torch.save(inner, tmp_path / "w.pth")
    assert len(read_arrays(tmp_path / "w.pth")) == 1


@pytest.fixture
def index(tmp_path):
    """Of two shards, as Hugging Face names them."""
    shards = {name: f"model-0000{i}-of-00002.safetensors" for i, name in enumerate("ab", 1)}
    for name, shard in shards.items():
        save_file({name: torch.full((2,), ord(name) * 1.0)}, tmp_path / shard)
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {}, "weight_map": shards}))
    return path


def test_the_shards_of_an_index_are_read_together(index):
    arrays = read_arrays(index)
    assert {name: array.tolist() for name, array in arrays.items()} == {"a": [97.0] * 2, "b": [98.0] * 2}


def test_a_shard_that_is_not_there_is_named(index):
    index.with_name("model-00002-of-00002.safetensors").unlink()
    with pytest.raises(
        WeightsError, match=r"names the shard model-00002-of-00002\.safetensors, which is not beside"
    ):
        read_arrays(index)


@pytest.mark.parametrize("shard", ["../outside.safetensors", "/etc/passwd", "model.safetensors.index.json"])
def test_a_shard_outside_the_folder_is_not_read(index, shard):
    index.write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(WeightsError, match=r"which is no other file of its folder"):
        read_arrays(index)


def test_a_name_that_no_shard_has_is_told(index):
    content = json.loads(index.read_text())
    content["weight_map"]["c"] = content["weight_map"]["a"]
    index.write_text(json.dumps(content))
    with pytest.raises(WeightsError, match=r"lists c, which is in none of its shards"):
        read_arrays(index)
