"""A command starts itself again with huge pages where that helps, once, and nothing else of it changes."""

import os
import subprocess
import sys

import pytest

from man_jax.huge_pages import SETTING, VARIABLE, gains_from_asking, glibc_version, kernel_choice

NEW_ENOUGH = pytest.mark.skipif(glibc_version() < (2, 35), reason="only glibc 2.35 and newer asks for them")

COMMAND = """
import os, sys
from man_jax import huge_pages
print(os.getpid(), os.environ.get("GLIBC_TUNABLES"), sys.argv[1:], flush=True)
huge_pages.gains_from_asking = lambda environment: huge_pages.VARIABLE not in environment
huge_pages.start_with_huge_pages()
print("ran", sys.stdin.read())
"""


def test_a_command_starts_again_once_in_the_same_process_with_its_arguments_and_its_input():
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "--flag", "two words"],
        input="its input",
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    first, again, ran = done.stdout.splitlines()
    pid = first.split()[0]
    assert first == f"{pid} None ['--flag', 'two words']"
    assert again == f"{pid} {SETTING} ['--flag', 'two words']"
    assert ran == "ran its input"


@NEW_ENOUGH
def test_huge_pages_are_asked_for_where_the_kernel_gives_them_to_whoever_asks(tmp_path):
    (tmp_path / "enabled").write_text("always [madvise] never\n")
    assert gains_from_asking({}, tmp_path / "enabled")


@pytest.mark.parametrize(
    ("environment", "choice"),
    [
        ({VARIABLE: ""}, "always [madvise] never"),
        ({VARIABLE: SETTING}, "always [madvise] never"),
        ({}, "[always] madvise never"),
        ({}, "always madvise [never]"),
        ({}, ""),
    ],
)
def test_they_are_not_asked_for_where_somebody_has_decided_or_nothing_is_gained(
    environment, choice, tmp_path
):
    (tmp_path / "enabled").write_text(choice)
    assert not gains_from_asking(environment, tmp_path / "enabled")


def test_a_system_that_does_not_tell_has_made_no_choice(tmp_path):
    assert kernel_choice(tmp_path / "missing") == ""
