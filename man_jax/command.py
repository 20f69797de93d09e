"""What all commands share: flags that explain themselves, errors of one line, a log without the libraries' talk."""

import difflib
import logging as standard_logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from absl import app, flags, logging

from data_pipelines.ending import orderly_end
from data_pipelines.records import DataError
from man_jax.config import Config, ConfigError
from man_jax.engine.workdir import WorkdirError

PACKAGES = Path(__file__).parents[1]


def run_command(main: Callable[[], None]) -> None:
    """Parse the flags and run `main`; what a user can put right ends the command with one line, not a traceback."""

    def guarded(argv: list[str]) -> None:
        if len(argv) > 1:
            raise app.UsageError(f"unexpected argument {argv[1]!r}; overrides are written --config.key=value")
        try:
            main()
        except (ConfigError, DataError, WorkdirError, FloatingPointError) as error:
            sys.exit(f"error: {error}")

    if "config" in flags.FLAGS:
        flags.mark_flag_as_required("config")
    with orderly_end():
        app.run(guarded, flags_parser=parse_command)


def parse_command(argv: list[str]) -> list[str]:
    """Parse the flags for `app.run`; a misspelt config key ends the command with the nearest right one."""
    _show_own_notices_only()
    try:
        return app.parse_flags_with_usage(argv)
    except (AttributeError, KeyError):
        known = list(_keys(_named_config(argv)))
        problems = [problem for arg in argv if (problem := _unknown_key(arg, known))]
        if not problems:
            raise
        sys.exit("\n".join(problems))


def _named_config(argv: list[str]) -> Config:
    """The experiment without its overrides, which are what could not be parsed."""
    words = " ".join(argv).replace("=", " ").split()
    return flags.FLAGS["config"].parser.parse(words[words.index("--config") + 1])


def _unknown_key(arg: str, known: list[str]) -> str | None:
    name = arg.lstrip("-").partition("=")[0]
    if not name.startswith("config.") or name in known:
        return None
    nearest = max(known, key=lambda key: (_likeness(_last(key), _last(name)), _likeness(key, name)))
    return f"error: there is no key {name}; did you mean {nearest}? (all keys: configs/default.py)"


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _likeness(key: str, name: str) -> float:
    return difflib.SequenceMatcher(None, key, name).ratio()


def _keys(config: Config, prefix: str = "config") -> Iterator[str]:
    for name, value in config.items():
        if hasattr(value, "items"):
            yield from _keys(value, f"{prefix}.{name}")
        else:
            yield f"{prefix}.{name}"


def _show_own_notices_only() -> None:
    """Of other libraries, warnings only: Orbax, for one, tells of every file it writes."""
    logging.set_verbosity(logging.INFO)
    ours = [str(PACKAGES / name) for name in ("man_jax", "data_pipelines")]
    logging.get_absl_logger().addFilter(
        lambda record: record.levelno >= standard_logging.WARNING or record.pathname.startswith(tuple(ours))
    )
