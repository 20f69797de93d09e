"""Flags that are paths, and what a mistake in a flag is answered with."""

import sys
from pathlib import Path

import pytest
from absl import flags

from data_pipelines.session import command_line
from data_pipelines.session.command_line import PathParser, expand_home, parse_flags


@pytest.fixture(autouse=True)
def home(monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("~", "/home/me"),
        ("~/runs/a", "/home/me/runs/a"),
        ("runs/~a", "runs/~a"),
        ("./~", "./~"),
        ("/data", "/data"),
        ("hf:timm/resnet50@0", "hf:timm/resnet50@0"),
        ("gs://bucket/a", "gs://bucket/a"),
        ("", ""),
    ],
)
def test_a_path_begins_with_the_home_folder_where_it_begins_with_a_tilde(text, path):
    assert expand_home(text) == path


@pytest.mark.parametrize("text", ["~nobody-here", "~nobody-here/a/b"])
def test_a_home_that_is_nobody_s_is_refused(text):
    with pytest.raises(ValueError, match=r"there is no home folder ~nobody-here; write the path in full"):
        expand_home(text)


def test_an_empty_path_counts_as_not_given():
    assert PathParser().parse("") is None
    assert PathParser().parse("~/a") == Path("/home/me/a")


@pytest.fixture
def known(monkeypatch) -> flags.FlagValues:
    """The flags of a command that has --out, --seed, --rate, --dry_run and --root, which it needs."""
    values = flags.FlagValues()
    module = {"flag_values": values, "module_name": sys.argv[0]}
    flags.DEFINE(PathParser(), "out", "here", "Where to.", **module)
    flags.DEFINE(PathParser(), "root", None, "Where from.", required=True, **module)
    flags.DEFINE(flags.IntegerParser(), "seed", 0, "Of all.", **module)
    flags.DEFINE(flags.FloatParser(), "rate", 0.5, "How fast.", **module)
    flags.DEFINE_flag(flags.BooleanFlag("dry_run", False, "Write nothing."), values, sys.argv[0])
    monkeypatch.setattr(command_line.flags, "FLAGS", values)
    return values


def test_flags_that_are_right_are_parsed(known):
    assert parse_flags(["command", "--root=~/a", "--out", "~/b", "--seed=3"]) == ["command"]
    assert (known.root, known.out, known.seed) == (Path("/home/me/a"), Path("/home/me/b"), 3)


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--roto=a"], "there is no flag --roto; did you mean --root?"),
        (["--root=a", "--dry-run"], "there is no flag --dry-run; did you mean --dry_run?"),
        (["--source=a"], "--source is called --root now"),
        (["--root=a", "--source", "b"], "--source is called --root now"),
        (["--xyz"], "there is no flag --xyz; there are --out, --root, --seed, --rate, --dry_run"),
        ([], "--root is missing: Where from."),
        (["--root="], "--root is missing: Where from."),
        (["--root=a", "--seed=1.5"], "--seed=1.5: write a whole number"),
        (["--root=a", "--rate=fast"], "--rate=fast: write a number"),
        (["--root=a", "--dry_run=maybe"], "--dry_run=maybe: write true or false"),
        (["--root=a", "--seed"], "Missing value for flag --seed"),
        (["--root=~nobody-here/a"], "--root=~nobody-here/a: there is no home folder ~nobody-here; write"),
        (
            ["--root=a", "b"],
            "unexpected argument 'b'; every option begins with --, and there are --out, --roo",
        ),
    ],
)
def test_a_mistake_in_a_flag_is_one_line_that_says_what_to_write(words, line):
    with pytest.raises(SystemExit) as end:
        parse_flags(["command", *words])
    assert str(end.value).startswith(f"error: {line}")
    assert len(str(end.value).splitlines()) == 1


def test_a_command_that_has_no_folder_of_data_does_not_point_to_its_flag(known):
    del known.root
    with pytest.raises(SystemExit, match=r"there is no flag --source; there are --out, --seed, --rate"):
        parse_flags(["command", "--source=a"])
