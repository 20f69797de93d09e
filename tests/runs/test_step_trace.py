"""A trace of some steps by JAX's profiler."""

import jax.numpy as jnp
import pytest

from man_jax.config import ConfigError
from man_jax.runs.step_trace import StepTrace, parse_steps


def run(trace: StepTrace, numbers) -> list[bool]:
    """Run these steps; tell of each whether it was traced."""
    found = []
    for number in numbers:
        with trace.step(number):
            jnp.ones(3).sum().block_until_ready()
            found.append(trace.is_on)
    return found


def test_the_steps_of_the_range_are_traced_once_and_no_others(tmp_path):
    trace = StepTrace(range(2, 4), tmp_path)
    assert run(trace, range(6)) == [False, False, True, True, False, False]
    assert run(trace, range(2, 4)) == [False, False]
    names = {file.name for file in tmp_path.rglob("*") if file.is_file()}
    assert "perfetto_trace.json.gz" in names
    assert any(name.endswith(".xplane.pb") for name in names)


def test_a_run_that_begins_amid_the_range_is_traced_from_there(tmp_path):
    assert run(StepTrace(range(2, 4), tmp_path), (3, 4)) == [True, False]


def test_a_trace_whose_end_does_not_come_is_kept(tmp_path):
    trace = StepTrace(range(1, 9), tmp_path)
    run(trace, range(3))
    trace.close()
    assert not trace.is_on
    assert any(tmp_path.rglob("*.xplane.pb"))


def test_it_is_told_if_no_step_was_traced(tmp_path, caplog):
    trace = StepTrace(range(1, 3), tmp_path)
    run(trace, (5, 6))
    with caplog.at_level("WARNING", logger="absl"):
        trace.close()
    assert "--profile 1:3: no such step was run now" in caplog.text


def test_steps_are_read_as_first_and_end():
    assert parse_steps("20:25") == range(20, 25)
    assert parse_steps("") is None


@pytest.mark.parametrize("words", ["20", "25:20", "5:5", "a:b", "-1:4", "1:2:3", ":4"])
def test_other_words_are_refused_with_an_example(words):
    with pytest.raises(ConfigError, match=f"--profile {words}: write .*--profile 20:25"):
        parse_steps(words)
