"""Where compiled programs are kept, and what is said while one is made."""

import os
from pathlib import Path

import pytest

from data_pipelines.session import compilation
from data_pipelines.session.compilation import (
    LEAST,
    VARIABLE,
    compiling,
    default_folder,
    keep_compiled_programs,
)


@pytest.fixture(autouse=True)
def user(monkeypatch, tmp_path) -> Path:
    """A user without a cache of programs yet."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for variable in (VARIABLE, LEAST):
        monkeypatch.setenv(variable, "")  # given back after the test
        monkeypatch.delenv(variable)
    return tmp_path


def test_programs_are_kept_below_the_user_s_cache(user, capsys):
    keep_compiled_programs()
    assert os.environ[VARIABLE] == str(user / ".cache" / "man_jax" / "jax")
    assert Path(os.environ[VARIABLE]).is_dir()
    assert os.environ[LEAST] == "0"
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("user")
def test_the_least_time_that_the_environment_names_is_left(monkeypatch):
    monkeypatch.setenv(LEAST, "2.5")
    keep_compiled_programs()
    assert os.environ[LEAST] == "2.5"


@pytest.mark.parametrize(("base", "ignored"), [("xdg", False), ("relative/xdg", True), ("", True)])
def test_the_variable_of_the_desktop_standard_counts_if_it_is_absolute(user, monkeypatch, base, ignored):
    monkeypatch.setenv("XDG_CACHE_HOME", base if ignored else str(user / base))
    assert default_folder() == user / (".cache" if ignored else base) / "man_jax" / "jax"


@pytest.mark.parametrize("named", ["mine", "~/mine"])
def test_a_folder_that_the_environment_names_is_used_and_made(user, monkeypatch, named):
    monkeypatch.chdir(user)
    monkeypatch.setenv(VARIABLE, named)
    keep_compiled_programs()
    assert (user / "mine").is_dir()
    assert Path(os.environ[VARIABLE]).absolute() == user / "mine"
    assert not (user / ".cache").exists()


def test_an_empty_variable_keeps_nothing(user, monkeypatch):
    monkeypatch.setenv(VARIABLE, "")
    keep_compiled_programs()
    assert os.environ[VARIABLE] == ""
    assert list(user.iterdir()) == []


@pytest.mark.parametrize("obstacle", ["a file in its place", "/proc/nowhere", "~nobody-here/cache"])
def test_a_folder_that_cannot_be_written_is_told_in_one_line_and_done_without(
    user, monkeypatch, capsys, obstacle
):
    if obstacle == "a file in its place":
        (user / ".cache").write_text("")
    else:
        monkeypatch.setenv(VARIABLE, obstacle)
    keep_compiled_programs()
    assert os.environ[VARIABLE] == ""
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("compiled programs are not kept for the next run (")
    assert VARIABLE in line


def test_a_place_that_is_no_folder_of_this_machine_is_left_to_jax(monkeypatch):
    monkeypatch.setenv(VARIABLE, "gs://bucket/cache")
    keep_compiled_programs()
    assert os.environ[VARIABLE] == "gs://bucket/cache"


@pytest.mark.parametrize(("is_kept", "kept"), [(True, "; cached for next time"), (False, "")])
def test_a_compilation_is_told_before_and_after(monkeypatch, is_kept, kept):
    monkeypatch.setattr(compilation, "is_kept", lambda: is_kept)
    clock = iter([100.0, 120.4])
    monkeypatch.setattr(compilation.time, "monotonic", lambda: next(clock))
    told: list[str] = []
    with compiling("the step", say=told.append) as seconds:
        assert told == [f"compiling the step, once{kept}"]
    assert told[1:] == ["compiled the step in 20 s"]
    assert seconds() == pytest.approx(20.4)


def test_a_compilation_that_fails_is_not_told_as_done():
    told: list[str] = []
    with pytest.raises(MemoryError), compiling("the step", say=told.append):
        raise MemoryError
    assert len(told) == 1
