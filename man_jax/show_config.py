"""Explain a key of the configuration, or show the keys of an experiment and what differs from the default.

    python -m man_jax.show_config --explain man.alpha
    python -m man_jax.show_config --config demo:plus --diff

A key may be given by its last part alone (alpha), and a group (adapt) stands for all of its keys. Without `--explain`
the keys of the experiment are listed with their values, those of other methods left out.
"""

from absl import flags
from ml_collections import config_flags

from man_jax.commands import run_command
from man_jax.config import ConfigError
from man_jax.configs import default
from man_jax.key_pages import difference, explanation, keys_named, listing

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "The experiment: its NAME or file, also with :VARIANT; configs/default.py if not given."
)
EXPLAIN = flags.DEFINE_string("explain", None, "A key, the last part of one, or a group of keys.")
DIFF = flags.DEFINE_bool("diff", False, "Show only the keys whose value differs from that of the default.")


def main() -> None:
    """Read the flags and print what is asked for."""
    config = CONFIG.value
    if EXPLAIN.value is not None:
        if DIFF.value:
            raise ConfigError("--explain and --diff: give one of them")
        found = keys_named(EXPLAIN.value, config)
        print("\n\n".join(explanation(key, config) for key in found))
    elif DIFF.value:
        if config is None:
            raise ConfigError("--diff asks for an experiment; name it by --config, e.g. --config demo:plus")
        print(difference(config))
    else:
        print(listing(default.get_config() if config is None else config))


if __name__ == "__main__":
    run_command(main, needs_experiment=False)
