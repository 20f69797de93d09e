"""What the commands have in common, in a process of its own: absl parses flags once."""

import subprocess
import sys

import pytest

PIPELINES = ("prepare", "synthetic", "contact_sheet")

ERRORS = {
    "man_jax.config": "ConfigError",
    "data_pipelines.reading.records": "DataError",
    "man_jax.runs.workdir": "WorkdirError",
    "builtins": "FloatingPointError",
}


@pytest.mark.parametrize(("module", "name"), ERRORS.items())
def test_what_a_user_can_put_right_ends_a_command_with_one_line(module, name):
    program = f"""
from {module} import {name}
from man_jax.commands import run_command

def main():
    raise {name}("lower this")

run_command(main)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "error: lower this"
    assert "Traceback" not in result.stderr


# --- help and mistakes are told before anything slow is imported

DOORS = (
    "man_jax.train",
    "man_jax.evaluate",
    "man_jax.predict",
    "man_jax.reproduce",
    "man_jax.export",
    "man_jax.show_config",
    "man_jax.doctor",
    *(f"data_pipelines.{name}" for name in PIPELINES),
)
SLOW = {
    "jax",
    "flax",
    "optax",
    "orbax",
    "tensorflow_datasets",
    "grain",
    "matplotlib",
    "scipy",
    "tensorboardX",
    "pyarrow",
}
EXPERIMENT = "--config=configs/demo.py"

RUN_DOOR = """
import atexit, runpy, sys
atexit.register(lambda: print("imported:", *sorted(sys.modules)))
sys.argv[1:2] = []
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def open_door(door: str, *words: str) -> tuple[set[str], subprocess.CompletedProcess]:
    """What a command has imported when it ends, and how it ended."""
    program = RUN_DOOR.replace("sys.argv[0]", repr(door))
    result = subprocess.run(
        [sys.executable, "-c", program, door, *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in result.stderr
    return set(result.stdout.splitlines()[-1].split()[1:]), result


@pytest.mark.parametrize("door", DOORS)
def test_help_imports_nothing_slow(door):
    imported, result = open_door(door, "--help")
    assert imported & SLOW == set()
    assert "--" in result.stdout


@pytest.mark.parametrize(
    ("door", "words", "line"),
    [
        ("man_jax.train", [EXPERIMENT, "--wrokdir=x"], "there is no flag --wrokdir; did you mean --workdir?"),
        ("man_jax.train", [EXPERIMENT, "--config.seed=x"], "config.seed is 'x'; it must be a whole number"),
        (
            "man_jax.train",
            [EXPERIMENT, "--config.man.alpha=nan"],
            "config.man.alpha is nan; it must be at least 0",
        ),
        (
            "man_jax.reproduce",
            [EXPERIMENT, "--config.seed=-1"],
            "config.seed is -1; it must be between 0 and",
        ),
        (
            "man_jax.train",
            [EXPERIMENT, "--workdir=~nobody-here"],
            "--workdir=~nobody-here: there is no home folder",
        ),
        ("man_jax.evaluate", ["--rnu=x"], "there is no flag --rnu; did you mean --run?"),
        (
            "man_jax.reproduce",
            ["--config", "dmeo"],
            "--config dmeo does not exist; did you mean configs/demo.py?",
        ),
        (
            "man_jax.reproduce",
            [EXPERIMENT, "--seeds=a"],
            "--seeds a: 'a' is no whole number of at least 0; write",
        ),
        ("data_pipelines.prepare", ["--root=x"], "--dataset is missing: One of folder, manifest, "),
        ("data_pipelines.prepare", ["--dataset=folder", "--source=x"], "--source is called --root now"),
        ("man_jax.evaluate", ["--run=x", "--source", "y"], "--source is called --root now"),
        (
            "data_pipelines.prepare",
            ["--dataset=folder", "--root=x", "--size=3"],
            "--size is '3'; write it as in",
        ),
        ("data_pipelines.synthetic", ["--seed=x"], "--seed=x: write a whole number"),
        (
            "data_pipelines.synthetic",
            ["--identities=4999"],
            "--identities 4999 and --test_identities 30 exceed",
        ),
        (
            "data_pipelines.contact_sheet",
            ["--prepared=x", "more"],
            "unexpected argument 'more'; every option begins",
        ),
    ],
)
def test_a_mistake_in_the_flags_imports_nothing_slow(door, words, line):
    imported, result = open_door(door, *words)
    assert imported & SLOW == set()
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {line}")
    assert len(result.stderr.splitlines()) == 1


# --- the log

NOTICES = """
import logging
from absl import logging as absl_logging
from data_pipelines.session.progress import speaking_of
from man_jax.commands import run_command

def main():
    logging.getLogger("jax._src.xla_bridge").info("Unable to initialize backend 'tpu': no libtpu.so")
    logging.getLogger("orbax").warning("a warning of another")
    with speaking_of("seed 1, 50% of it"):
        logging.getLogger("orbax").warning("a warning %s", "amid a run")

run_command(main)
"""


def test_the_log_has_other_libraries_warnings_only_and_says_what_is_spoken_of():
    result = subprocess.run([sys.executable, "-c", NOTICES], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert "tpu" not in result.stderr
    lines = [line.partition("] ")[2] for line in result.stderr.splitlines()]
    assert lines == ["a warning of another", "seed 1, 50% of it: a warning amid a run"]


def test_every_line_of_an_error_says_that_it_is_one():
    program = """
from man_jax.commands import run_command
from man_jax.config import ConfigError

def main():
    raise ConfigError("this\\nand that")

run_command(main)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stderr) == (1, "error: this\nerror: and that\n")


def test_a_run_imports_no_other_framework():
    """They are installed where tests run, and some libraries import them where they find them."""
    found = (
        "import sys, man_jax.engine.training_run; print(*sorted({*sys.modules} & {'torch', 'tensorflow'}))"
    )
    result = subprocess.run([sys.executable, "-c", found], capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stdout.strip()) == (0, ""), result.stderr[-2000:]
