"""What the commands have in common, in a process of its own: absl parses flags once."""

import subprocess
import sys

import pytest

ERRORS = {
    "man_jax.config": "ConfigError",
    "data_pipelines.records": "DataError",
    "man_jax.engine.workdir": "WorkdirError",
    "builtins": "FloatingPointError",
}


@pytest.mark.parametrize(("module", "name"), ERRORS.items())
def test_what_a_user_can_put_right_ends_a_command_with_one_line(module, name):
    program = f"""
from {module} import {name}
from man_jax.command import run_command

def main():
    raise {name}("lower this")

run_command(main)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "error: lower this"
    assert "Traceback" not in result.stderr
