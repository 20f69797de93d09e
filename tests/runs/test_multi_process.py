from types import SimpleNamespace

import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

from man_jax.config import ConfigError
from man_jax.runs import multi_process
from man_jax.runs.multi_process import in_step, join_processes, of_first_process, told_by_first_process

NAMES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")


@pytest.fixture
def one_of_two(monkeypatch):
    """The second of two processes, whose first one has zeros everywhere."""
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(
        multihost_utils, "broadcast_one_to_all", lambda tree: jax.tree.map(np.zeros_like, tree)
    )


def test_a_single_process_keeps_its_own():
    values = np.arange(3)
    assert of_first_process(values) is values


@pytest.mark.usefixtures("one_of_two")
def test_of_several_each_has_what_the_first_one_has():
    np.testing.assert_array_equal(of_first_process(np.arange(3)), np.zeros(3, int))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {},
            r"^--distributed: .*start every process with JAX_COORDINATOR_ADDRESS \(host:port of process 0\)",
        ),
        (
            {"JAX_PROCESS_ID": "first"},
            r"^--distributed: JAX_PROCESS_ID is 'first'; it must be a whole number",
        ),
        (
            {"JAX_COORDINATOR_ADDRESS": "localhost:1", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "2"},
            r"process_id=2, num_processes=2.*\(JAX_COORDINATOR_ADDRESS=localhost:1, JAX_NUM_PROCESSES=2, JAX_PRO",
        ),
    ],
)
def test_processes_that_cannot_join_are_told_what_is_missing(monkeypatch, given, message):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(jax._src.distributed.xla_bridge, "backends_are_initialized", lambda: False)
    with pytest.raises(ConfigError, match=message):
        join_processes()


def test_a_single_process_is_told_what_it_says_and_its_errors_are_its_own():
    value = {"a": (1, 2)}
    assert told_by_first_process(value) is value
    with pytest.raises(KeyError), in_step():
        raise KeyError


@pytest.mark.parametrize("length", [0, 1, 126, 127, 4000])
def test_a_text_of_any_length_comes_as_it_was(monkeypatch, length):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(multihost_utils, "broadcast_one_to_all", lambda values: values)
    assert told_by_first_process(["ä" * length]) == ["ä" * length]


def test_an_error_without_words_is_told_by_its_name(monkeypatch):
    lines = []
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(
        multihost_utils, "process_allgather", lambda line: lines.append(line.tobytes().strip()) or [line]
    )
    with pytest.raises(ValueError, match=r"^$"), in_step():
        raise ValueError
    assert lines == [b"ValueError"]


def test_processes_with_different_numbers_of_devices_are_refused(monkeypatch):
    monkeypatch.setattr(jax.distributed, "initialize", lambda **_: None)
    devices = [SimpleNamespace(process_index=place) for place in (0, 0, 1)]
    monkeypatch.setattr(multi_process.jax, "devices", lambda: devices)
    with pytest.raises(ConfigError, match="equally many devices, and process 0 has 2, process 1 has 1; hide"):
        join_processes()
