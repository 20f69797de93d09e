"""What several processes compare before long work, each seen from one of two processes, the other one imagined."""

import json

import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

from man_jax.config import ConfigError
from man_jax.runs import hosts
from man_jax.runs.hosts import check_same, check_shared, facts_of_config, facts_of_data
from man_jax.runs.multi_process import OtherProcessError
from tests.engine.tiny import small_config

BLANK = ord(" ")


@pytest.fixture
def second(monkeypatch):
    """The second of two processes: what the first one tells, and the lines of refusal that both gather."""
    said: dict = {"first": {}, "refusals": []}
    told: list[bytes] = []

    def broadcast(values):
        text = json.dumps(said["first"]).encode()
        if values.ndim == 0:
            return np.array(len(text))
        return np.frombuffer(text.ljust(1 << len(text).bit_length()), np.uint8)

    def gather(line):
        told.append(line.tobytes().strip())
        first = said["refusals"].pop(0) if said["refusals"] else b""
        return np.stack([np.frombuffer(first.ljust(len(line)), np.uint8), line])

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    monkeypatch.setattr(multihost_utils, "broadcast_one_to_all", broadcast)
    monkeypatch.setattr(multihost_utils, "process_allgather", gather)
    monkeypatch.setattr(hosts, "PATIENCE", 0.3)
    said["told"] = told
    return said


def test_equal_facts_are_no_matter(second):
    second["first"] = {"the last checkpoint": 4, "config.seed": 0}
    check_same({"config.seed": 0, "the last checkpoint": 4})
    assert second["told"] == [b""]


def test_facts_that_differ_are_named_with_both_values(second):
    second["first"] = {"config.seed": 0, "the last checkpoint": None}
    differ = r"process 1 on .* config\.seed is 0 there and 1 here; the last.*None"
    with pytest.raises(ConfigError, match=differ) as found:
        check_same({"config.seed": 1, "the last checkpoint": 4})
    assert second["told"][0].decode().startswith("ConfigError --distributed: process 1")
    assert "same command, package and data" in str(found.value)


def test_what_another_process_is_refused_this_one_is_too(second):
    second["first"], second["refusals"] = {"a": 1}, [b"DataError no triple in /data"]
    with pytest.raises(OtherProcessError, match="process 0 refused to go on: no triple in /data") as found:
        check_same({"a": 1})
    assert found.value.kind == "DataError"


def test_a_folder_that_this_process_does_not_see_is_refused(second, tmp_path):
    second["first"] = [1, ".man_jax-sign"]
    with pytest.raises(
        ConfigError, match=rf"does not see what process 0 writes in {tmp_path}; choose a --workdir"
    ):
        check_shared(tmp_path / "run", "--workdir")


def test_a_folder_that_all_processes_see_is_accepted_before_the_run_s_own_exists(second, tmp_path):
    second["first"] = [1, ".man_jax-sign"]
    (tmp_path / ".man_jax-sign").touch()
    check_shared(tmp_path / "run", "--workdir")
    assert second["told"] == [b"", b""]


def test_process_0_removes_its_sign(second, tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 0)
    second["first"] = [1, ".man_jax-sign"]
    check_shared(tmp_path / "run", "--workdir")
    assert [*tmp_path.iterdir()] == []


def test_a_single_process_compares_nothing_and_writes_nothing(tmp_path):
    check_same({"a": object()})
    check_shared(tmp_path / "run", "--workdir")
    assert [*tmp_path.iterdir()] == []


def test_places_of_data_may_differ_between_hosts_and_other_keys_may_not():
    facts = facts_of_config(small_config())
    assert "config.data.source.root" not in facts
    assert facts["config.seed"] == small_config().seed
    assert json.loads(json.dumps(facts)) == facts


def test_a_description_of_data_is_flattened():
    used = {"source": {"name": "x", "train": {"triples": 3, "fingerprints": {"R": "1a"}}}}
    assert facts_of_data(used) == {
        "source name": "x",
        "source train triples": 3,
        "source train fingerprints R": "1a",
    }
