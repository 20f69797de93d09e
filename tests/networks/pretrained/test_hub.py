"""A file of the hub, pinned to a commit; here always offline, from a cache made by hand."""

import sys
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from man_jax.networks.pretrained.errors import WeightsError
from man_jax.networks.pretrained.hub import locate

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = f"hf:timm/resnet50.a1_in1k@{COMMIT}"


@pytest.fixture(autouse=True)
def snapshot(tmp_path, monkeypatch) -> Path:
    """The cache's folder of that commit, empty; nothing is asked of the network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    snapshot = tmp_path / "models--timm--resnet50.a1_in1k" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    return snapshot


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_a_cached_file_is_found_without_a_network(snapshot, file):
    (snapshot / file).write_bytes(b"weights")
    assert locate(NAME) == snapshot / file


def test_safetensors_are_preferred(snapshot):
    for file in ("pytorch_model.bin", "model.safetensors"):
        (snapshot / file).write_bytes(b"weights")
    assert locate(NAME) == snapshot / "model.safetensors"


def test_a_file_may_be_named(snapshot):
    (snapshot / "sub").mkdir()
    for file in ("model.safetensors", "sub/other.bin"):
        (snapshot / file).write_bytes(b"weights")
    assert locate(f"{NAME}#sub/other.bin") == snapshot / "sub/other.bin"


def test_the_commit_is_passed_on(monkeypatch):
    asked = []

    def download(repo, file, *, revision):
        asked.append((repo, file, revision))
        return f"/cache/{file}"

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert locate(NAME) == Path("/cache/model.safetensors")
    assert asked == [("timm/resnet50.a1_in1k", "model.safetensors", COMMIT)]


def test_what_is_neither_cached_nor_reachable_says_what_was_looked_for():
    with pytest.raises(
        WeightsError, match=r"none of model\.safetensors, pytorch_model\.bin.*HF_HUB_OFFLINE=1"
    ):
        locate(NAME)


def test_a_failure_of_the_network_is_passed_on(monkeypatch):
    def download(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(WeightsError, match=r"cannot be had from the hub \(no route to host\)"):
        locate(NAME)


@pytest.mark.parametrize(
    "name",
    [
        "hf:timm/resnet50.a1_in1k",
        "hf:timm/resnet50.a1_in1k@main",
        "hf:timm/resnet50.a1_in1k@0123abc",
        f"hf:resnet50@{COMMIT}",
        f"{NAME}#",
    ],
)
def test_a_name_without_a_whole_commit_is_refused(name):
    with pytest.raises(WeightsError, match=r"not of the form hf:OWNER/NAME@COMMIT.*40 hexadecimal digits"):
        locate(name)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(WeightsError, match=r"pip install huggingface_hub, or download the file"):
        locate(NAME)


def test_any_other_name_is_a_path():
    assert locate("weights/resnet50.pth") == Path("weights/resnet50.pth")
    assert locate("~w.npz") == Path("~w.npz")  # ./~w.npz; the commands put the home folder in its place
