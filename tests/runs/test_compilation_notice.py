"""The lines around a first call, which do not change what is compiled."""

import jax
import jax.numpy as jnp
import pytest

from man_jax.runs import compilation_notice
from man_jax.runs.compilation_notice import compiling


@pytest.fixture
def told(monkeypatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(compilation_notice, "say", lines.append)
    return lines


def test_the_first_call_is_told_and_no_later_one(told):
    double = jax.jit(lambda x: 2 * x)
    times = []
    for number in range(3):
        with compiling(double, "the doubling") as seconds:
            assert double(jnp.float32(number)) == 2 * number
        times.append(seconds())
    assert len(told) == 2
    assert told[0].startswith("compiling the doubling, once")
    assert told[1].startswith("compiled the doubling in ")
    assert times[0] > 0.0
    assert times[1:] == [0.0, 0.0]
    assert double._cache_size() == 1


def test_what_never_compiles_is_never_told(told):
    with compiling(lambda x: x, "a plain function") as seconds:
        pass
    assert (told, seconds()) == ([], 0.0)
