"""The description of GPUs that are not there."""

import re

import pytest
from jax.experimental import topologies

from man_jax.config import ConfigError
from man_jax.costs.chips import CHIPS, TPUS
from man_jax.engine.gpu_devices import TARGETS, gpu_devices, target_text


@pytest.fixture
def asked(monkeypatch) -> list[dict]:
    """What the plugin is asked for."""
    asked: list[dict] = []

    def describe(name, platform, **words):
        asked.append({"name": name, "platform": platform, **words})
        return topologies.TopologyDescription([])

    monkeypatch.setattr(topologies, "get_topology_desc", describe)
    return asked


@pytest.mark.parametrize(("number", "shape"), [(1, "1x1x1"), (8, "1x1x8"), (64, "1x8x8")])
def test_gpus_are_in_machines_of_eight(asked, number, shape):
    gpu_devices("h100", number)
    [words] = asked
    assert (words["platform"], words["topology"]) == ("cuda", shape)
    assert words["target_config"] == target_text("h100")


def test_no_whole_number_of_machines_is_refused():
    with pytest.raises(
        ConfigError, match="h100:12: more than 8 GPUs are planned in machines of 8; write a mult"
    ):
        gpu_devices("h100", 12)


def test_without_the_plugin_the_remedy_is_told(monkeypatch):
    def refuse(*_, **__):
        raise NotImplementedError("topology not implemented for cuda\nand more")

    monkeypatch.setattr(topologies, "get_topology_desc", refuse)
    with pytest.raises(
        ConfigError, match=r"a100:1: topology not implemented for cuda; .*man_jax\[gpu-plan\]"
    ):
        gpu_devices("a100", 1)


def test_every_gpu_that_is_planned_for_is_described_with_its_own_memory():
    assert set(TARGETS) == set(CHIPS) - set(TPUS)
    for kind in TARGETS:
        told = dict(re.findall(r"(\w+): (\d+)$", target_text(kind), flags=re.M))
        assert int(told["device_memory_size"]) == CHIPS[kind].memory
        assert int(told["memory_bandwidth"]) == CHIPS[kind].bandwidth
        assert target_text(kind).count("{") == target_text(kind).count("}")
