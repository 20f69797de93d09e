"""Parse the flags of every command: a path may begin with ~, and an error is one line that says what to write."""

import difflib
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from absl import flags

flags.disclaim_key_flags()  # a flag belongs to the command that defines it

REQUIRED = "must have a value other than None"
RENAMED = {"source": "root"}
"""Flags of former versions, and what they are called now."""

ALONE = (
    "--distributed is for commands that train or take features (train, evaluate, predict, search, reproduce, report, "
    "and doctor to try it); this one has nothing to share among processes: start it once, without the flag"
)

KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false"}


class PathParser(flags.ArgumentParser):
    """Parses text into a Path and replaces ~ by the home folder; "" counts as not given."""

    def parse(self, argument: str | Path) -> Path | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Parse a path; ValueError if its home folder belongs to no user."""
        return Path(expand_home(str(argument))) if str(argument) else None

    def flag_type(self) -> str:
        """Name the type of the flag for --helpxml."""
        return "path"


def define_path(
    name: str, default: str | None, description: str, *, required: bool = False
) -> flags.FlagHolder[Any]:
    """Define a flag whose value is a Path, or None."""
    return flags.DEFINE(PathParser(), name, default, description, required=required)


def expand_home(path: str) -> str:
    """Replace ~ or ~USER at the beginning by the home folder; ValueError if there is no such user."""
    # Not by Path, because it would drop the // of a URL.
    expanded = os.path.expanduser(path)  # noqa: PTH111
    if expanded.startswith("~"):
        home = path.split("/")[0]
        raise ValueError(f"there is no home folder {home}; write the path in full, or as ./{path}")
    return expanded


def parse_flags(argv: list[str]) -> list[str]:
    """Parse the flags for `app.run`; mistakes in them end the command, with one line for each."""
    try:
        rest = flags.FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        refuse([_unknown(error.flagname)])
    except flags.Error as error:
        refuse([_plain(line) for line in str(error).splitlines() if line.strip()])
    if len(rest) > 1:
        refuse([f"unexpected argument {rest[1]!r}; every option begins with --, and {_own_flags()}"])
    return rest


def refuse(problems: list[str]) -> NoReturn:
    """End the command with status 1 and a line for each problem."""
    sys.exit("\n".join(f"error: {problem}" for problem in problems))


def _own_names() -> list[str]:
    return [flag.name for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0])]


def _own_flags() -> str:
    return f"there are {', '.join(f'--{name}' for name in _own_names())}"


def _unknown(name: str) -> str:
    if name in ("distributed", "nodistributed"):
        return ALONE
    if RENAMED.get(name) in _own_names():
        return f"--{name} is called --{RENAMED[name]} now"
    return f"there is no flag --{name}; {_nearest(name)}"


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name.replace("-", "_"), _own_names(), n=1)
    return f"did you mean --{near[0]}?" if near else _own_flags()


def _plain(line: str) -> str:
    """Rewrite a line of absl in plainer words if it quotes Python."""
    flag, _, reason = line.removeprefix("flag ").partition(": ")
    name = flag.removeprefix("--").partition("=")[0]
    if name not in flags.FLAGS:
        return line
    known = flags.FLAGS[name]
    if REQUIRED in reason:
        return f"--{name} is missing: {known.help}"
    if "invalid literal" in reason or "could not convert" in reason or "Non-boolean" in reason:
        return f"{flag}: write {KINDS.get(known.flag_type(), known.flag_type())}"
    return f"{flag}: {reason}"
