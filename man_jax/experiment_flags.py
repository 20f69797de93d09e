"""Check --config: the experiment's file, its variant and the overrides, with one line for each mistake.

ml_collections parses the same flags afterwards, but it would answer most of these mistakes with a traceback.
"""

import ast
import difflib
import importlib.util
import inspect
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from absl import flags
from ml_collections import ConfigDict

from man_jax import methods
from man_jax.config import Config, ConfigError, flat
from man_jax.configs import default
from man_jax.experiment_names import FOLDER, all_shown, experiment_names, path_of, shown

MOST_MISSING = 5
"""At most so many of an experiment's missing keys are named."""


class Override(NamedTuple):
    """One --config.KEY=VALUE, as it was written; `text` is None if it has no value."""

    key: str
    text: str | None
    negated: bool


def with_transfer(argv: Sequence[str]) -> list[str]:
    """Write --transfer NAME as --config configs/NAME.py; ConfigError if there is none, or both flags are given."""
    words = list(argv)
    for place, word in enumerate(words):
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("-") or name != "transfer":
            continue
        named = value if equals else "".join(words[place + 1 : place + 2])
        if _split(words)[0]:
            raise ConfigError(f"--transfer {named} and --config: give one of them")
        stem, colon, variant = named.partition(":")
        if stem not in experiment_names():
            raise ConfigError(f"--transfer {named}: choose one of {', '.join(experiment_names())}")
        written = f"--config={FOLDER / f'{stem}.py'}{colon}{variant}"
        return [*words[:place], written, *words[place + (1 if equals else 2) :]]
    return words


def check_experiment(argv: Sequence[str]) -> None:
    """Check --config and each --config.KEY=VALUE; ConfigError with a line for each mistake."""
    named, overrides = _split(argv)
    if not named:
        raise ConfigError(f"--config is missing; name {all_shown()}")
    if len(named) > 1:
        raise ConfigError(
            f"--config is given {len(named)} times ({', '.join(named)}); give it once, and overrides as "
            f"--config.KEY=VALUE"
        )
    config = load_experiment(named[0])
    problems = [problem for each in overrides if (problem := _override_problem(config, each))]
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))


def load_experiment(name: str) -> Config:
    """Load the experiment PATH or NAME, each also with :VARIANT; ConfigError if there is none or it lacks something."""
    path, colon, variant = name.partition(":")
    module = _load(path_of(path))
    if colon and not variant:
        raise ConfigError(
            f"--config {name}: nothing stands behind the colon; leave it out, or name a variant (configs/variants.py)"
        )
    get_config = getattr(module, "get_config", None)
    if not callable(get_config):
        raise ConfigError(f"--config {path}: it has no function get_config; name {all_shown()}")
    arguments = (variant,) if colon else ()
    try:
        inspect.signature(get_config).bind(*arguments)
    except TypeError:
        what = "takes no variant; leave out the colon and what follows" if colon else "asks for a variant"
        raise ConfigError(f"--config {name}: its get_config {what}") from None
    try:
        config: Any = get_config(*arguments)
    except Exception as error:
        raise ConfigError(_told(error, name, path)) from None
    if not isinstance(config, ConfigDict):
        raise ConfigError(
            f"--config {path}: get_config returns {type(config).__name__}, not a ConfigDict; begin with "
            f"configs.default.get_config() and return what it gave"
        )
    _check_keys(config, path)
    return config


def _split(argv: Sequence[str]) -> tuple[list[str], list[Override]]:
    """Split the command line into the values of --config and the overrides."""
    named: list[str] = []
    overrides: list[Override] = []
    words = list(argv[1:])
    for place, word in enumerate(words):
        if word == "--":
            break
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("-"):
            continue
        following = (
            words[place + 1] if place + 1 < len(words) and not words[place + 1].startswith("--") else None
        )
        text = value if equals else following
        if name == "config":
            named.append(text or "")
        elif name.startswith(("config.", "noconfig.")):
            overrides.append(Override(name.partition(".")[2], text, name.startswith("no")))
    return named, overrides


def _load(path: str) -> ModuleType:
    file = Path(path)
    if not path:
        raise ConfigError(f"--config has no value; name {all_shown()}")
    if not file.is_file():
        near = difflib.get_close_matches(file.stem, experiment_names(), n=1)
        hint = f"did you mean {shown(near[0])}? Otherwise name" if near else "name"
        what = "is a folder" if file.is_dir() else "does not exist"
        raise ConfigError(f"--config {path} {what}; {hint} {all_shown()}")
    if file.suffix != ".py":
        raise ConfigError(f"--config {path} is no Python file; name {all_shown()}")
    spec = importlib.util.spec_from_file_location("experiment", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(_told(error, path, path)) from None
    return module


def _told(error: Exception, name: str, path: str) -> str:
    """Describe an error in an experiment's own code, with the line of its file."""
    if isinstance(error, SyntaxError):
        return f"--config {path}, line {error.lineno}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, ValueError) and Path(frames[-1].filename).name == "variants.py":
        return f"--config {name}: {error}"
    lines = [frame.lineno for frame in frames if Path(frame.filename) == Path(path).absolute()]
    place = f", line {lines[-1]}" if lines else ""
    said = str(error).strip('"').splitlines()
    moved = [
        f"; {default.written_now(key, None)}"
        for key in default.MOVED
        if isinstance(error, AttributeError) and said and f'"{key.rpartition(".")[2]}"' in said[0]
    ]
    if isinstance(error, ModuleNotFoundError) and error.name == "configs":
        return (
            f"--config {path}{place}: there is no module configs; write from man_jax.configs import default"
        )
    return f"--config {path}{place}: {type(error).__name__}: {said[0] if said else ''}{''.join(moved)}"


def _check_keys(config: ConfigDict, path: str) -> None:
    here, there = flat(config), flat(default.get_config())
    missing = [f"config.{key}" for key in there if key not in here]
    if len(missing) > MOST_MISSING:
        missing[MOST_MISSING:] = [f"{len(missing) - MOST_MISSING} keys more"]
    problems = [
        *([f"it lacks {', '.join(missing)}; begin with configs.default.get_config()"] if missing else []),
        *(moved for key in here if (moved := default.written_now(key, here[key]))),
        *(
            f"there is no key config.{key}; did you mean config.{nearest_keys(key, list(there))[0]}?"
            for key in here
            if key not in there and key not in default.MOVED
        ),
        *(
            f"config.{key} is {here[key]!r}; it must be {kind_of(there[key])}"
            for key in there
            if key in here and type(here[key]) is not type(there[key])
        ),
    ]
    if problems:
        raise ConfigError(
            "\n".join(f"--config {path}: {problem} (all keys: configs/default.py)" for problem in problems)
        )


def _override_problem(config: Config, override: Override) -> str | None:
    key, text, negated = override
    keys = flat(config)
    if moved := default.written_now(key, text):
        return moved
    if key not in keys:
        if inside := [known for known in keys if known.startswith(f"{key}.")]:
            return f"config.{key} is a group of keys; set one of them: {', '.join(f'config.{each}' for each in inside)}"
        return (
            f"there is no key config.{key}; did you mean config.{nearest_keys(key, _keys_in_use(config, key))[0]}? "
            f"(all keys: configs/default.py)"
        )
    value = keys[key]
    if isinstance(value, bool) and (negated or text is None):
        return None
    if negated:
        return (
            f"config.{key} is not true or false, so there is no --noconfig.{key}; write --config.{key}=VALUE"
        )
    if text is None or not _parses(text, value):
        return f"config.{key} is {text or ''!r}; it must be {kind_of(value)}"
    return None


def _parses(text: str, value: Any) -> bool:
    """Tell whether ml_collections can read the text as a value of the same type."""
    parsers = {bool: flags.BooleanParser(), int: flags.IntegerParser(), float: flags.FloatParser()}
    try:
        if isinstance(value, tuple):
            found = ast.literal_eval(text)
            kinds = {int, float} if value and isinstance(value[0], int | float) else {str}
            return isinstance(found, tuple) and {type(each) for each in found} <= kinds
        if type(value) in parsers:
            parsers[type(value)].parse(text)
    except (ValueError, TypeError, SyntaxError):
        return False
    return True


def kind_of(value: Any) -> str:
    """Say in words which values a key may have whose value is `value`."""
    if isinstance(value, tuple):
        return f"""values in brackets with commas, e.g. "{value or ("R", "T")}\""""
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return kinds.get(type(value), type(value).__name__)


def nearest_keys(name: str, known: Sequence[str]) -> list[str]:
    """Sort keys by how similar they are to `name`, by their last parts first; the most similar one comes first."""

    def likeness(one: str, other: str) -> float:
        return difflib.SequenceMatcher(None, one, other).ratio()

    last = name.rpartition(".")[2]
    return sorted(known, key=lambda key: (-likeness(key.rpartition(".")[2], last), -likeness(key, name)))


def _keys_in_use(config: Config, key: str) -> list[str]:
    """List the keys that a mistyped one may mean: not those of other methods, unless it names one of them."""
    others = {name for name in methods.names() if name not in (config.method, key.partition(".")[0])}
    return [known for known in flat(config) if known.partition(".")[0] not in others]
