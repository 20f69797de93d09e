"""How a process of several ends that cannot go on."""

import subprocess
import sys

import jax
import pytest

from man_jax.config import ConfigError
from man_jax.joint_command import last_words


def test_what_a_user_can_put_right_is_told_in_a_line():
    assert last_words(ConfigError("lower this"), (ConfigError,)) == "error: lower this\n"


@pytest.mark.parametrize(
    "words",
    [
        "UNKNOWN: Gloo all-reduce failed: [pair.cc:538] Read error [127.0.0.1]:22418: Connection reset by peer",
        "UNAVAILABLE: Failed to send RPC to coordination service.",
        "DEADLINE_EXCEEDED: Barrier timed out",
        "INTERNAL: NCCL operation ncclGroupEnd() failed",
    ],
)
def test_the_end_of_another_process_is_told_with_what_to_do(words):
    told = last_words(jax.errors.JaxRuntimeError(f"{words}\nmore"), (ConfigError,))
    assert told.startswith(f"error: another process has ended, or cannot be reached any more ({words});")
    assert told.count("\n") == 1


def test_another_fault_of_jax_is_told_as_it_is():
    told = last_words(jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory"), (ConfigError,))
    assert told.splitlines()[-1].endswith("RESOURCE_EXHAUSTED: out of memory")
    assert "another process" not in told


@pytest.mark.parametrize("module", ["man_jax.export", "man_jax.show_config", "man_jax.plan"])
def test_a_command_with_nothing_to_share_says_so(module):
    result = subprocess.run(
        [sys.executable, "-m", module, "--distributed", "--config=configs/demo.py"][
            : 4 + (module != "man_jax.export")
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 1
    assert result.stderr.startswith(
        "error: --distributed is for commands that train or take features (train, "
    )
    assert "start it once, without the flag" in result.stderr
