"""What all commands share: parsing of flags, errors of one line, a log without other libraries' notices."""

import logging as standard_logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from absl import app, flags, logging

from data_pipelines.reading.printable import escape_on_streams
from data_pipelines.reading.records import DataError
from data_pipelines.session.command_line import expand_home, parse_flags, refuse
from data_pipelines.session.compilation import keep_compiled_programs
from data_pipelines.session.ending import orderly_end
from data_pipelines.session.progress import prefixed
from man_jax.config import PATHS, Config, ConfigError, WorkdirError, check_config
from man_jax.experiment_flags import check_experiment, with_transfer
from man_jax.experiment_names import with_paths
from man_jax.huge_pages import start_with_huge_pages
from man_jax.joint_command import run_joined
from man_jax.process_flags import is_distributed
from man_jax.retrieval.errors import FeatureFileError

PACKAGES = Path(__file__).parents[1]
TOLD = (ConfigError, DataError, FeatureFileError, WorkdirError, FloatingPointError)
"""Errors that a user can correct: their message is all that is told."""
HELP = {"help", "helpfull", "helpshort", "helpxml", "h", "?", "only_check_args"}


def run_command(main: Callable[[], None], *, needs_experiment: bool = True) -> None:
    """Parse the flags and run `main`; an error that a user can correct ends the command with one line.

    `main` itself imports JAX and other slow libraries, so that help and a mistake in the flags are answered at once. A
    command that has the flag --config must be given it, unless `needs_experiment` is false. With --distributed the
    processes are joined before `main`.
    """
    start_with_huge_pages()

    def guarded(argv: list[str]) -> None:
        del argv
        keep_compiled_programs()
        if is_distributed():
            run_joined(main, TOLD)
            return
        try:
            main()
        except TOLD as error:
            refuse(str(error).splitlines())

    with orderly_end():
        escape_on_streams()
        app.run(guarded, flags_parser=partial(parse_command, needs_experiment=needs_experiment))


def parse_command(argv: list[str], *, needs_experiment: bool = True) -> list[str]:
    """Parse the flags for `app.run`; a wrong experiment or key ends the command, with one line for each mistake."""
    _show_own_notices_only()
    asks_for_help = any(word.lstrip("-").partition("=")[0] in HELP for word in argv[1:])
    names_one = any(word.lstrip("-").partition("=")[0].partition(".")[0] == "config" for word in argv[1:])
    if "config" not in flags.FLAGS or asks_for_help or not (needs_experiment or names_one):
        return parse_flags(argv)
    try:
        if "transfer" in flags.FLAGS:
            argv = with_transfer(argv)
        check_experiment(argv)
        rest = parse_flags(with_paths(argv))
        config = flags.FLAGS["config"].value
        expand_paths(config)
        check_config(
            config, num_devices=1
        )  # limits of the devices are checked by the command, which asks JAX for them
    except ConfigError as error:
        refuse(str(error).splitlines())
    return rest


def expand_paths(config: Config) -> None:
    """Replace ~ by the home folder in every key that is a path; ConfigError if there is no such user."""
    for key in PATHS:
        *parts, name = key.split(".")
        part = config
        for each in parts:
            part = part[each]
        try:
            part[name] = expand_home(part[name])
        except ValueError as error:
            raise ConfigError(f"config.{key} is {part[name]!r}: {error}") from None


def _show_own_notices_only() -> None:
    """Show only warnings of other libraries. Orbax reports every file that it writes, and JAX every missing TPU."""
    logging.set_verbosity(logging.INFO)
    ours = [str(PACKAGES / name) for name in ("man_jax", "data_pipelines")]

    def passes(record: standard_logging.LogRecord) -> bool:
        if record.levelno < standard_logging.WARNING and not record.pathname.startswith(tuple(ours)):
            return False
        record.msg, record.args = prefixed(record.getMessage()), ()
        return True

    # The handler gets the filter, because a logger's filter does not see records of other loggers.
    logging.get_absl_handler().addFilter(passes)
