"""The command of `make test` ends, and names the test, when a test takes its process down or never ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENDINGS = {
    "crashes": "os.abort()",
    "sleeps": "threading.Event().wait()",
    "is_deaf": "ctypes.CDLL(None).pause()",  # in C, where no signal handler of Python is called
}
TESTS = """
import ctypes, os, threading
class TestFirst:
    def test_passes(self): pass
    def test_{name}(self): {ending}
    def test_comes_after(self): pass
class TestSecond:
    def test_passes(self): pass
"""


def flags() -> list[str]:
    """What the Makefile gives to pytest."""
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    [command] = [line for line in lines if "-m pytest" in line]
    return command.partition("-m pytest")[2].split()


@pytest.mark.parametrize("name", ENDINGS)
def test_a_test_that_does_not_come_back_fails_the_run_by_its_name(tmp_path, name):
    (tmp_path / "test_ending.py").write_text(TESTS.format(name=name, ending=ENDINGS[name]))
    command = [sys.executable, "-m", "pytest", f"--config-file={ROOT / 'pyproject.toml'}", *flags()]
    here = [f"--rootdir={tmp_path}", "-p", "no:cacheprovider", "-o", "faulthandler_timeout=3", str(tmp_path)]
    # What the surrounding run tells its own workers is not for this one.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    run = subprocess.run(
        [*command, *here], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 1, run.stdout + run.stderr
    assert f"while running 'test_ending.py::TestFirst::test_{name}'" in run.stdout


def test_the_limit_of_a_test_is_minutes(pytestconfig):
    assert 0 < float(pytestconfig.getini("faulthandler_timeout")) <= 900
    assert pytestconfig.getini("faulthandler_exit_on_timeout")


def test_what_the_quick_check_runs_is_there_and_only_once():
    printed = subprocess.run(
        ["make", "-n", "-o", "lint", "-o", "types", "check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    [command] = [line for line in printed.stdout.splitlines() if "-m pytest" in line]
    places = [word for word in command.split() if word.startswith("tests/")]
    assert places
    assert all((ROOT / place).exists() for place in places)
    assert len(set(places)) == len(places)
    left_out = [word.partition("=")[2] for word in command.split() if word.startswith("--ignore=")]
    assert all((ROOT / place).is_file() for place in left_out)
    assert not any((ROOT / place).parent in {ROOT / other for other in places} for place in places)
