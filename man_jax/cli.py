"""The command `man-jax`, which has each of the package's commands as a subcommand.

`man-jax train --config demo` does what `python -m man_jax.train --config demo` does. Nothing slow is imported before
the subcommand's own module.
"""

import difflib
import runpy
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from importlib.util import find_spec
from typing import NamedTuple

from man_jax.huge_pages import start_with_huge_pages

PROGRAM = "man-jax"


class Subcommand(NamedTuple):
    """A module that is run as a command, and the flags that it is always given."""

    module: str
    about: str
    """What it does, in a line of the help."""
    flags: tuple[str, ...] = ()


DATA = {
    "draw": Subcommand("data_pipelines.synthetic", "draw two small domains to try everything with"),
    "check": Subcommand("data_pipelines.prepare", "say what is wrong with a data set", ("--check_only",)),
    "prepare": Subcommand("data_pipelines.prepare", "verify a data set and write it for training"),
    "sheet": Subcommand("data_pipelines.contact_sheet", "draw a page of pictures of a prepared data set"),
    "corpus": Subcommand("data_pipelines.synthetic.corpus", "draw what the demonstration's weights learnt"),
}
COMMANDS = {
    "doctor": Subcommand("man_jax.doctor", "check this machine and the installed packages"),
    "config": Subcommand("man_jax.show_config", "explain a key, or show an experiment's keys"),
    "train": Subcommand("man_jax.train", "pre-train on a source and adapt to a target"),
    "evaluate": Subcommand("man_jax.evaluate", "measure retrieval with a trained model"),
    "predict": Subcommand("man_jax.predict", "write the features of your own pictures"),
    "search": Subcommand("man_jax.search", "find the gallery's best matches of a query"),
    "plan": Subcommand("man_jax.plan", "tell what a step needs on TPUs or GPUs that are not there"),
    "reproduce": Subcommand("man_jax.reproduce", "run the paper's tables, or several seeds"),
    "report": Subcommand("man_jax.report", "write a page about a run or a study"),
    "export": Subcommand("man_jax.export", "write a model for other libraries"),
}
"""In the order of the help. A subcommand whose module the package does not have is left out."""


def main() -> None:
    """Run the subcommand that the command line names; an unknown one ends with the nearest, and status 1."""
    start_with_huge_pages()
    run(sys.argv[1:])


def run(words: Sequence[str]) -> None:
    """Run the words of a command line, without the name of the program.

    Raises SystemExit with a line if there is no such command.
    """
    asks, words = ([*words[:1]] == ["help"]), [*words]
    words = words[asks:]
    if not words or words[0] in ("--help", "-h", "-help", "--helpfull"):
        print(help_page())
        return
    if words[0] == "--version":
        print(f"{PROGRAM} {_version()}")
        return
    name, rest = words[0], words[1:]
    if name.startswith("-"):
        raise SystemExit(
            f"error: name a command first, as in {PROGRAM} train {name}; {PROGRAM} --help lists them"
        )
    if name == "data":
        if not rest or rest[0] in ("--help", "-h", "-help"):
            print(data_page())
            return
        found = _find(rest[0], DATA, f"{PROGRAM} data")
        rest = rest[1:]
    else:
        found = _find(name, _with_data(available()), PROGRAM)
    _run_module(found, ["--help"] if asks else rest)


def available() -> dict[str, Subcommand]:
    """List the subcommands whose modules are there, besides `data`."""
    return {name: each for name, each in COMMANDS.items() if find_spec(each.module)}


def help_page() -> str:
    """Describe all subcommands on one screen, and what to do first."""
    rows = [(name, each.about) for name, each in _with_data(available()).items()]
    return f"""{PROGRAM}: adapt multi-modality re-identification to a domain without labels

usage: {PROGRAM} COMMAND [FLAGS]

{_table(rows)}

{PROGRAM} COMMAND --help lists the flags of a command.
To begin: {PROGRAM} data draw, then {PROGRAM} train --config demo:smoke"""


def data_page() -> str:
    """Describe the subcommands of `data`, and what to do first."""
    return f"""usage: {PROGRAM} data COMMAND [FLAGS]

{_table([(name, each.about) for name, each in DATA.items()])}

{PROGRAM} data COMMAND --help lists the flags of a command.
To begin: {PROGRAM} data draw, or, for a set of yours, {PROGRAM} data check --help"""


def _with_data(commands: Mapping[str, Subcommand]) -> dict[str, Subcommand]:
    """Add `data`, which has subcommands of its own, in its place before `train`."""
    rows = [*commands.items()]
    place = [*commands].index("train") if "train" in commands else len(rows)
    rows.insert(place, ("data", Subcommand("", f"{', '.join(DATA)}: data sets")))
    return dict(rows)


def _table(rows: Sequence[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {about}" for name, about in rows)


def _find(name: str, known: Mapping[str, Subcommand], program: str) -> Subcommand:
    if name in known:
        return known[name]
    if name in DATA:
        raise SystemExit(f"error: there is no command {program} {name}; did you mean {PROGRAM} data {name}?")
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {program} {near[0]}?" if near else f"there are {', '.join(known)}"
    raise SystemExit(f"error: there is no command {program} {name}; {hint}")


def _run_module(command: Subcommand, words: Sequence[str]) -> None:
    """Run a module as `python -m` does; its flags are of the program that `sys.argv` and `__main__` name."""
    # The words are set first: run_module sets the name of the program, which flags and messages are found by.
    sys.argv[1:] = [*command.flags, *words]
    runpy.run_module(command.module, run_name="__main__", alter_sys=True)


def _version() -> str:
    try:
        return metadata.version("man_jax")
    except metadata.PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    main()
