"""Write about keys for a reader: the explanation of one, the list of all, what an experiment changes."""

import math
from typing import Any

from man_jax import methods
from man_jax.config import Config, ConfigError, flat
from man_jax.configs import default
from man_jax.experiment_flags import kind_of, nearest_keys
from man_jax.key_descriptions import Description, describe

MOST_NEAR = 3
"""At most so many keys are named that a mistyped one may mean."""


def keys_named(name: str, config: Config | None = None) -> list[str]:
    """Find the keys that `name` stands for: a key, the last part of some, or a group of keys.

    Of keys with the same last part those are taken that the experiment `config`, if there is one, uses.

    Raises ConfigError, with the nearest keys, if there are none.
    """
    known = [*flat(default.get_config())]
    name = name.removeprefix("--").removeprefix("config.")
    if moved := default.written_now(name, None):
        raise ConfigError(moved)
    same_end = [key for key in known if key.rpartition(".")[2] == name]
    for found in (
        [key for key in known if key == name],
        [key for key in known if name and key.startswith(f"{name}.")],
        [key for key in same_end if config is not None and _used(key, config)],
        same_end,
    ):
        if found:
            return found
    near = " or ".join(nearest_keys(name, known)[:MOST_NEAR])
    raise ConfigError(f"there is no key {name or repr(name)}; did you mean {near}?")


def explanation(key: str, config: Config | None) -> str:
    """Write the explanation of a key in some lines; with an experiment, its value there is among them."""
    known = describe(key)
    rows = [("meaning", known.about), *_like_pretraining(known)]
    rows += [("value", _values(known)), ("used by", known.users)]
    if config is not None and (value := flat(config)[key]) != known.default:
        rows.insert(0, ("there", f"{_written(value)}  in {config.experiment}"))
    rows.insert(0, ("default", _written(known.default)))
    if known.presets and key != "method":
        rows.append(
            ("variants", ", ".join(f"{name} ({_written(each)})" for name, each in known.presets.items()))
        )
    rows.append(("to set it", f"--config.{key}=VALUE"))
    return "\n".join([f"config.{key}", *(f"  {name:<10}{text}" for name, text in rows)])


def listing(config: Config) -> str:
    """List the keys that a run of this experiment reads, with their values."""
    return "\n".join(
        f"config.{key} = {_written(value)}" for key, value in flat(config).items() if _used(key, config)
    )


def difference(config: Config) -> str:
    """List the keys whose value differs from the default's; those of other methods are counted."""
    plain = flat(default.get_config())
    changed = {key: value for key, value in flat(config).items() if value != plain[key]}
    lines = [
        f"config.{key} = {_written(value)}  (default {_written(plain[key])})"
        for key, value in changed.items()
        if _used(key, config)
    ]
    if not lines:
        lines = ["nothing differs from the default"]
    if others := len(changed) - sum(_used(key, config) for key in changed):
        lines.append(f"and {others} keys of methods that {config.experiment} does not use")
    return "\n".join(lines)


def _used(key: str, config: Config) -> bool:
    return key.partition(".")[0] not in {*methods.names()} - {config.method}


def _like_pretraining(known: Description) -> list[tuple[str, str]]:
    """Give the meaning of the key of pre-training too, if the key's own text refers to it."""
    twin = known.key.replace("adapt.", "pretrain.")
    if twin == known.key or not known.about.startswith("as in pre-training"):
        return []
    return [("", f"{twin}: {describe(twin).about}")]


def _values(known: Description) -> str:
    if known.choices:
        return f"one of {', '.join(map(str, known.choices))}"
    kind = kind_of(known.default)
    least = f"at least {known.least:g}" if known.least > -math.inf else ""
    largest = f"at most {known.largest:g}" if known.largest < math.inf else ""
    return ", ".join(filter(None, (kind, least, largest)))


def _written(value: Any) -> str:
    return repr(value) if isinstance(value, str) and not value else str(value)
