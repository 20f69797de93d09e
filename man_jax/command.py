"""What all commands share: flags that explain themselves, and a log without the libraries' small talk."""

import difflib
import logging as standard_logging
import sys
from collections.abc import Iterator
from pathlib import Path

from absl import app, flags, logging

from man_jax.config import Config

PACKAGES = Path(__file__).parents[1]


def parse_command(argv: list[str]) -> list[str]:
    """Parse the flags for `app.run`; a misspelt config key ends the command with the nearest right one."""
    _show_own_notices_only()
    try:
        return app.parse_flags_with_usage(argv)
    except (AttributeError, KeyError):
        config = flags.FLAGS["config"].value
        problems = [problem for arg in argv if (problem := _unknown_key(arg, config))]
        if not problems:
            raise
        sys.exit("\n".join(problems))


def _unknown_key(arg: str, config: Config) -> str | None:
    name = arg.lstrip("-").partition("=")[0]
    known = list(_keys(config))
    if not name.startswith("config.") or name in known:
        return None
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    suggestion = f"; did you mean --{nearest[0]}?" if nearest else ""
    return f"error: there is no key {name}{suggestion} (all keys: configs/default.py)"


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
